package agent

import (
	"slices"

	"dray/targets/runtime"
)

// StopOrder puts the running containers of a host into the stages in which a
// shutdown stops them: runs of tasks first, since they use services; then
// services that keep no data on the host; those that do last. What keeps data is
// used by others, and must not be gone while they finish.
func StopOrder(containers []runtime.Container) [][]runtime.Container {
	stages := make([][]runtime.Container, 3)
	for _, c := range containers {
		if runs(c) || c.State == runtime.Paused {
			stage := stopStage(c)
			stages[stage] = append(stages[stage], c)
		}
	}
	return stages
}

func stopStage(c runtime.Container) int {
	switch {
	case runsOnce(c):
		return 0
	case slices.ContainsFunc(c.Spec.Mounts, func(m runtime.Mount) bool { return !m.ReadOnly }):
		return 2
	default:
		return 1
	}
}

// startOrder is how containers come back after a boot: what keeps data first.
func startOrder(containers []runtime.Container) []runtime.Container {
	ordered := slices.Clone(containers)
	slices.SortStableFunc(ordered, func(a, b runtime.Container) int { return stopStage(b) - stopStage(a) })
	return ordered
}
