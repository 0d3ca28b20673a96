// Package pipeline holds the values that one dray.hcl describes: a Project
// with its Targets, Services, Tasks, Hosts and Environments.
//
// The vocabulary, used with these meanings everywhere in dray:
//
//   - A target is something to build: a context and a Dockerfile that give an
//     image.
//   - A service is a long-running program, made of an image and of how to run
//     it. A task is a program that ends.
//   - An instance is one replica of a service, named by service and index
//     from 1: "web/2".
//   - A host is a Linux machine that dray reaches over SSH.
//   - An environment is a list of hosts and the services that run there. It
//     may merge changes over the services of the project.
//   - A release is what one environment runs at one time: image digests and
//     resolved configuration, immutable and whole. Its name is a number and,
//     from the second content under that number on, a revision: 42, 42.1.
//   - A deployment is the act of bringing one release onto one environment.
//   - Promotion brings the release of one environment to the next: the same
//     number and the same digests.
//
// The package does no I/O and depends on the standard library only. Parsing
// is in pipeline/config, ordering in pipeline/plan, doing in pipeline/run.
package pipeline
