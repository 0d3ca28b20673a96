// Package run walks the stages of a pipeline: build, push, deploy, verify,
// promote. It decides what a release consists of and whether it may enter an
// environment; it declares the Builder, the Images and the Deployer that do
// the work, and is handed them by cmd/dray.
//
// A Runner's verbs end with a nil error, a *Refusal (a gate said no, nothing
// has changed), or the error of the part that failed.
package run
