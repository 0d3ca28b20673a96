package connect

// Paths on a host; docs/ARCHITECTURE.md lists them all.
const (
	stateDir    = "/var/lib/dray"
	binDir      = "/var/lib/dray/bin"
	currentLink = "/var/lib/dray/bin/current"
	agentLog    = "/var/lib/dray/agent.log" // of an agent that no service manager started
	runDir      = "/run/dray"
	peerDir     = "/run/dray/peer"
	keeperFile  = "/run/dray/keeper.pid" // locked by the keeper
	agentSocket = "/run/dray/agent.sock"

	// agentPath is where the agent finds programs, whoever starts it.
	agentPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)
