# make help lists the targets. Everything that a target needs it makes, or
# says how to install.

GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0-dev)
LDFLAGS   := -s -w -X dray/targets/api.BuildVersion=$(VERSION)
OCI_TAGS  := seccomp netgo osusergo
LAB       := bin/lab --name demo
GOLANGCI_VERSION := v2.15.0
DEADCODE_VERSION := v0.52.0
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false

.DEFAULT_GOAL := help
.PHONY: acceptance-vm deps-vm runtime-suite deps-runtime help release build deps demo demo-down test test-unit test-real test-again lint bench faults chaos clean FORCE

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: bin/dray bin/drayd bin/dray-oci ## the three programs, in bin/, with what tests need inside

bin/dray: FORCE
	$(GO) build -ldflags "$(LDFLAGS)" -o $@ ./cmd/dray

bin/drayd: FORCE
	$(GO) build -tags failpoint -ldflags "$(LDFLAGS)" -o $@ ./cmd/drayd

# Static, with cgo: libcontainer's first steps in a namespace are C.
bin/dray-oci: FORCE
	CGO_ENABLED=1 $(GO) build -tags "$(OCI_TAGS)" \
	  -ldflags "-s -w -linkmode external -extldflags -static" -o $@ ./cmd/dray-oci

bin/lab: FORCE
	$(GO) build -o $@ ./testenv/cmd/lab

FORCE:

deps: ## install what building and testing need (Debian, Ubuntu)
	@./.ci/deps

demo: deps ## the main job, for real, on this machine alone
	@$(MAKE) --no-print-directory -s build bin/lab
	@./examples/demo.sh up

demo-down: ## remove every trace of the demo
	@$(MAKE) --no-print-directory -s bin/lab
	@./examples/demo.sh down

test: deps test-unit test-real ## everything that CI runs, lint apart

# TESTFLAGS=-v also tells which tests were skipped, and why; CI asks for that.
TESTFLAGS ?=

# All but what needs BuildKit's server, real hosts or tags runs with the race
# detector. Of the real ones, two packages run side by side, the longest first:
# most of what they do is waiting.
RACE = $(shell $(GO) list ./... | grep -v -e /testenv -e /builder/buildkit -e /cmd/dray-oci)
REAL := ./testenv/acceptance ./testenv/faults ./builder/buildkit/... ./testenv/... ./targets/store

test-unit: ## packages by themselves, with the race detector
	CGO_ENABLED=1 $(GO) test $(TESTFLAGS) -race -shuffle=on -timeout 15m $(RACE)

test-real: build ## the builder, the hosts and the whole road
	CGO_ENABLED=1 $(GO) test $(TESTFLAGS) -tags "$(OCI_TAGS)" -shuffle=on ./cmd/dray-oci/...
	DRAY_TEST_BIN=$(CURDIR)/bin $(GO) test $(TESTFLAGS) -shuffle=on -timeout 25m -p 2 $(REAL)

test-again: build ## some packages, one after the other: PACKAGES="dray/targets/store dray/testenv/faults"
	DRAY_TEST_BIN=$(CURDIR)/bin CGO_ENABLED=1 $(GO) test -tags "$(OCI_TAGS)" -shuffle=on -count=1 -timeout 25m -p 1 $(PACKAGES)

# What no program reaches is dead, whatever tests call it. Packages that exist
# for tests have no program; all others must be reached by one.
PROGRAMS := ./cmd/... ./testenv/cmd/... ./deploy/bundle/cmd/...
DEADCODE = CGO_ENABLED=1 bin/tools/deadcode -tags "$(OCI_TAGS)" -filter '^dray/(builder|cmd|deploy|pipeline|targets)(/|$$)' $(PROGRAMS)

lint: deps bin/tools/golangci-lint bin/tools/deadcode ## formatting, vet, import direction, dead code
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	bin/tools/golangci-lint run ./...
	@dead=$$($(DEADCODE)) && test -z "$$dead" || { echo "$$dead"; exit 1; }
	GOOS=darwin $(GO) vet ./cmd/dray
	GOOS=windows $(GO) vet ./cmd/dray
	shellcheck .ci/run .ci/deps .ci/release examples/*.sh examples/*/*.sh

bin/tools/golangci-lint:
	GOBIN=$(CURDIR)/bin/tools $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

bin/tools/deadcode:
	GOBIN=$(CURDIR)/bin/tools $(GO) install golang.org/x/tools/cmd/deadcode@$(DEADCODE_VERSION)

bench: deps build ## the table of figures, measured here; BENCH="-run exec -n 9" chooses
	$(GO) run ./testenv/cmd/bench $(BENCH)

SHARDS ?= 3
faults: deps build ## every fault at every step of a deployment, and the count; SHARDS=n labs side by side, MATCH=deploy/one chooses
	DRAY_TEST_BIN=$(CURDIR)/bin $(GO) test -v -run 'TestFaults$$' -count 1 -timeout 6h ./testenv/faults -args -all -shards $(SHARDS) -match '$(MATCH)'

chaos: deps build ## deployments under random faults; SEED=n repeats one
	DRAY_TEST_BIN=$(CURDIR)/bin $(GO) test -v -run TestChaos -count 1 -timeout 60m ./testenv/faults -args -chaos -seed "$(SEED)"

release: deps ## dray for each system, with the host programs inside, in dist/
	./.ci/release

deps-vm: deps
	@./.ci/deps vm

acceptance-vm: deps-vm build ## a real server with cgroup v2, as a virtual machine (qemu-system-x86)
	DRAY_TEST_BIN=$(CURDIR)/bin DRAY_TEST_VM=1 $(GO) test ./testenv/acceptance -run TestServer -count 1 -v -timeout 40m

deps-runtime: deps
	@./.ci/deps runtime

runtime-suite: deps-runtime bin/dray-oci ## runc's own tests against dray-oci beside runc; MATCH=update chooses files
	$(GO) run ./testenv/cmd/runtime-suite -oci bin/dray-oci -match '$(MATCH)'

clean: ## what was built
	rm -rf bin dist
