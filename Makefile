# Everything that the project builds, shows and tests. `make help` lists the
# targets. Nothing here calls sudo or a system package manager; paths may hold
# spaces, so every use of one in a recipe is quoted.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Without a usable home directory, the caches live in the checkout.
ifneq ($(shell test -n "$$HOME" && test -d "$$HOME" && test -w "$$HOME" && echo yes),yes)
export HOME := $(CURDIR)/.cache/home
export GOPATH := $(CURDIR)/.cache/go
export GOCACHE := $(CURDIR)/.cache/go-build
export npm_config_cache := $(CURDIR)/.cache/npm
$(shell mkdir -p "$(CURDIR)/.cache/home")
endif

# Builds are the same with and without version control around them.
export GOFLAGS := $(filter-out -buildvcs%,$(shell go env GOFLAGS)) -buildvcs=false

# What the workload is built with. Off Linux the fallback is built, which
# serves only where its measured configuration says "development". The other
# programs don't need it; built alike, all three share one build cache, which
# is most of the time that a first build takes.
ifeq ($(shell uname -s),Linux)
TEE_ENV := GOEXPERIMENT=runtimesecret CGO_ENABLED=0
else
TEE_ENV := CGO_ENABLED=0
endif

TOOL := go tool -modfile=tools/go.mod
SDK := sdk/typescript
GOOGLE := internal/cloudsim/testdata/node

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

.PHONY: build
build: ## bin/sigil, bin/sigil-dev and bin/sigil-tee
	@mkdir -p bin
	$(TEE_ENV) go build -trimpath -o bin/ ./cmd/sigil ./cmd/sigil-dev
	$(TEE_ENV) go build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o bin/sigil-tee ./cmd/sigil-tee

.PHONY: sdk
sdk: $(SDK)/node_modules/.package-lock.json ## build the TypeScript SDK
	cd $(SDK) && npm run --silent build

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	cd $* && npm ci --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

.PHONY: demo
demo: ## the whole system on this machine: one verified signature
	@$(MAKE) --no-print-directory -j2 build sdk
	@exec bin/sigil-dev demo --data .demo --sdk $(SDK)

.PHONY: google-clients
google-clients: $(GOOGLE)/node_modules/.package-lock.json ## fetch Google's clients for Node.js, for tests

NODES := test/nodes
ORACLES := test/oracle/js

.PHONY: nodes
nodes: $(NODES)/solana/node_modules/.package-lock.json $(NODES)/entrypoint/node_modules/.package-lock.json $(ORACLES)/node_modules/.package-lock.json ## real nodes take what is signed: go-ethereum, btcd, Solana's virtual machine
	cd $(NODES) && go mod verify && go vet ./... && go test -count=1 -v ./...

.PHONY: oracles
oracles: $(ORACLES)/node_modules/.package-lock.json ## fetch the JavaScript libraries that digests are compared with

# A seed that isn't 1 makes other cases.
SIGIL_TEST_SEED ?= 1

.PHONY: differential
differential: oracles ## 100,000 cases of each family against two libraries
	@{ SIGIL_TEST_SEED=$(SIGIL_TEST_SEED) SIGIL_TEST_CASES=$${SIGIL_TEST_CASES:-100000} go test -count=1 -timeout=2h -v ./test/oracle 2>&1; echo "exit status $$?"; } | grep -v '^=== ' >docs/differential-last.txt; cat docs/differential-last.txt
	@grep -q '^exit status 0' docs/differential-last.txt

.PHONY: test
test: build sdk google-clients oracles ## all tests; lists what was skipped and how to run it
	@go run ./test/all

.PHONY: lint
lint: ## format, vet (Linux and macOS), staticcheck, dead code
	@out=$$(gofmt -l api attest client cmd internal receipt test unsigned 2>/dev/null); \
	  test -z "$$out" || { echo "run gofmt -w on:"; echo "$$out"; exit 1; }
	go vet ./...
	GOOS=darwin GOARCH=arm64 go vet ./...
	go vet -tags=failover,history ./test/failover ./test/fleet
	$(TEE_ENV) go vet ./cmd/sigil-tee/... ./internal/secret/... ./internal/workload/...
	cd $(NODES) && go mod verify >/dev/null && go vet ./...
	$(TOOL) staticcheck ./...
	@out=$$($(TOOL) deadcode -test ./...) && test -z "$$out" || { echo "unreachable:"; echo "$$out"; exit 1; }
	@echo "lint: clean"

# How many wallets are compared with 1,000: some 3 kB of disk each, 3.5 while they are made, in TMPDIR.
BENCH_WALLETS ?= 10000000

.PHONY: bench
bench: build ## what a signature costs on both engines, and finding one of BENCH_WALLETS wallets (10 M)
	@$(TEE_ENV) go run ./test/load -wallets "$(BENCH_WALLETS)" >docs/bench-last.txt; status=$$?; cat docs/bench-last.txt; exit $$status

.PHONY: soak
soak: build ## 1,000 kills of each process under load; 20 rounds of faults; fail-overs
	@{ SIGIL_TEST_KILLS=$${SIGIL_TEST_KILLS:-1000} SIGIL_TEST_ROUNDS=$${SIGIL_TEST_ROUNDS:-20} go test -count=1 -p=1 -timeout=6h -run='Kill|^TestFaults$$' -v ./test/chaos/... ./test/faults 2>&1; echo "exit status $$?"; } | tee docs/soak-last.txt
	@grep -q '^exit status 0' docs/soak-last.txt
	@$(MAKE) --no-print-directory failover

.PHONY: failover
failover: ## PostgreSQL under Patroni: the primary dies under load
	@{ go test -count=1 -tags=failover -timeout=1h -v ./test/failover 2>&1; echo "exit status $$?"; } | grep -v '^=== RUN' >docs/failover-last.txt; cat docs/failover-last.txt
	@grep -q '^exit status 0' docs/failover-last.txt

.PHONY: skew
skew: ## today's programs with those of the commits in SIGIL_TEST_HISTORY
	@go vet -tags=history ./test/fleet
	@go test -count=1 -tags=history -run=Earlier -v ./test/fleet

FUZZTIME ?= 10m
FUZZ ?= ./...

CONFIG ?= deploy/image/tee.json

.PHONY: image
image: ## OCI image of sigil-tee in dist/image, with CONFIG=tee.json measured
	@go run ./internal/imagegen -config "$(CONFIG)" -out dist/image

# The fuzzer's own deadline sometimes falls into an input and is reported as a
# failure, without one: such a target runs once more.
.PHONY: fuzz
fuzz: ## every fuzz target of FUZZ (all packages) for FUZZTIME (10m) each
	@once() { go test -run='^$$' -fuzz="^$$2\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=1x "$$1" </dev/null 2>&1; }; \
	go list $(FUZZ) | while read -r p; do \
	  go test -list='^Fuzz' "$$p" | grep '^Fuzz' | while read -r f; do \
	    echo "$$p $$f"; out=$$(once "$$p" "$$f") || { \
	      case "$$out" in *"Failing input"*) false ;; *"context deadline exceeded"*) out=$$(once "$$p" "$$f") ;; *) false ;; esac || { echo "$$out"; exit 1; }; }; \
	    echo "$$out" | tail -1; \
	  done || exit 1; done

.PHONY: vectors
vectors: ## write testdata/formats again; a difference is a broken format
	go run ./internal/vectorgen
	@git diff --stat --exit-code -- testdata || { echo "the formats changed: see docs/FORMATS.md"; exit 1; }

.PHONY: clean
clean: ## remove what the targets made
	rm -rf bin dist .demo $(SDK)/dist $(SDK)/node_modules $(GOOGLE)/node_modules $(NODES)/solana/node_modules $(NODES)/entrypoint/node_modules $(ORACLES)/node_modules
	@chmod -R u+w .cache 2>/dev/null || true
	rm -rf .cache
