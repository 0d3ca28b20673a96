package engineapi

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/moby/moby/api/types/container"

	"dray/targets/runtime"
)

// sampleEvery is the time between two samples: the share of the CPU is the
// difference of two.
const sampleEvery = time.Second

// stats is GET /containers/{id}/stats: one sample a second with "stream", one
// with the one before it without, and one alone with "one-shot".
func (a *API) stats(w http.ResponseWriter, r *http.Request) error {
	c, err := a.container(r)
	if err != nil {
		return err
	}
	streaming := r.FormValue("stream") == "" || flag(r, "stream")
	if streaming && flag(r, "one-shot") {
		return fault(http.StatusBadRequest, "cannot have stream=true and one-shot=true")
	}
	before := container.StatsResponse{}
	now, err := a.sample(c, before)
	if err != nil {
		return err
	}
	if !streaming && (flag(r, "one-shot") || !live(c)) {
		return ok(w, now)
	}
	w.Header().Set("Content-Type", "application/json")
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	out := json.NewEncoder(w)
	for {
		if streaming {
			if out.Encode(now) != nil || http.NewResponseController(w).Flush() != nil {
				return nil // the client has gone
			}
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-tick.C:
		}
		if c, err = a.Engine.Get(c.ID); err != nil {
			return nil // it was removed: the stream ends
		}
		before = now
		if now, err = a.sample(c, before); err != nil {
			return err
		}
		if !streaming {
			return ok(w, now)
		}
	}
}

// sample reads a container's statistics now. One that does not run has none.
func (a *API) sample(c runtime.Container, before container.StatsResponse) (container.StatsResponse, error) {
	s := container.StatsResponse{ID: c.ID, Name: "/" + c.Spec.Name, OSType: "linux"}
	if !live(c) {
		return s, nil
	}
	raw, err := a.Engine.Stats(c.ID)
	if err != nil {
		return s, err
	}
	s.Read, s.PreRead, s.PreCPUStats = raw.Read, before.Read, before.CPUStats
	s.CPUStats = container.CPUStats{
		CPUUsage:    container.CPUUsage{TotalUsage: raw.CPU.Total, UsageInUsermode: raw.CPU.User, UsageInKernelmode: raw.CPU.System},
		SystemUsage: raw.System, OnlineCPUs: uint32(raw.CPUs),
		ThrottlingData: container.ThrottlingData{Periods: raw.CPU.Periods, ThrottledPeriods: raw.CPU.ThrottledPeriods, ThrottledTime: raw.CPU.Throttled},
	}
	s.MemoryStats = container.MemoryStats{Usage: raw.Memory.Usage, Limit: raw.Memory.Limit, Failcnt: raw.Memory.OOMKills, Stats: map[string]uint64{}}
	for k, v := range raw.MemoryStats {
		s.MemoryStats.Stats[k] = v
	}
	s.MemoryStats.Stats["inactive_file"] = raw.Memory.Inactive
	if s.MemoryStats.Limit == 0 {
		s.MemoryStats.Limit = uint64(a.Host().MemoryTotal)
	}
	s.PidsStats = container.PidsStats{Current: raw.Pids, Limit: raw.PidsLimit}
	s.Networks = map[string]container.NetworkStats{}
	for name, n := range raw.Networks {
		s.Networks[name] = container.NetworkStats{
			RxBytes: n.RxBytes, RxPackets: n.RxPackets, RxErrors: n.RxErrors, RxDropped: n.RxDropped,
			TxBytes: n.TxBytes, TxPackets: n.TxPackets, TxErrors: n.TxErrors, TxDropped: n.TxDropped,
		}
	}
	for _, b := range raw.Block {
		s.BlkioStats.IoServiceBytesRecursive = append(s.BlkioStats.IoServiceBytesRecursive,
			container.BlkioStatEntry{Major: b.Major, Minor: b.Minor, Op: "read", Value: b.ReadBytes},
			container.BlkioStatEntry{Major: b.Major, Minor: b.Minor, Op: "write", Value: b.WriteBytes})
		s.BlkioStats.IoServicedRecursive = append(s.BlkioStats.IoServicedRecursive,
			container.BlkioStatEntry{Major: b.Major, Minor: b.Minor, Op: "read", Value: b.Reads},
			container.BlkioStatEntry{Major: b.Major, Minor: b.Minor, Op: "write", Value: b.Writes})
	}
	return s, nil
}
