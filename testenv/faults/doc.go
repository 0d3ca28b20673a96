// Package faults tries dray's promise about deployments end to end: whatever
// dies at whatever step, every service is wholly on the old or wholly on the
// new release once recovery has run, it was reachable all the while, and
// nothing that was confirmed is lost.
//
// A trial is a verb (deploy, promote, rollback), a point of the deployment and
// a fault, in an environment of one host or of three. Points are exact: the
// agent of a host waits at a named change of its journal (cmd/drayd,
// failpoint), or the client waits in its verify command, while the fault is
// made. See point_test.go and fault_test.go for both lists, trial_test.go for
// how a trial goes, and claims_test.go for what is asserted.
//
//	go test ./testenv/faults                      a representative part
//	go test ./testenv/faults -args -all           every trial
//	go test ./testenv/faults -run Faults -args -all -match 'deploy/three/.*kill'
//	make faults SHARDS=3                          every trial, three labs side by side
//	make chaos SEED=7                             random trials
//
// Trials share a lab: hosts s1 (environment stage), o1 (one) and p1, p2, p3
// (three). Whatever a trial leaves behind fails that trial. Most of a trial is
// waiting, so labs side by side, each with trials of its own, take little more
// time than one.
package faults
