package pipeline

// Words of Security that are no profile's name.
const (
	ProfileDefault    = "default"
	ProfileUnconfined = "unconfined"
)

// Security says how a container is confined where it is not as all are. The zero
// value is the default: no new privileges, dray's system call filter, dray's
// AppArmor profile where the host has AppArmor, dray's OCI runtime.
type Security struct {
	NewPrivileges bool   `json:"new_privileges,omitempty"` // setuid programs and file capabilities work
	Seccomp       string `json:"seccomp,omitempty"`        // ProfileUnconfined, or a profile's JSON; "" is the default
	AppArmor      string `json:"apparmor,omitempty"`       // ProfileUnconfined, or a name that the host has; "" is the default
	Runtime       string `json:"runtime,omitempty"`        // path of an OCI runtime on the host; "" is dray-oci
}
