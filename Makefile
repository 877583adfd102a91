# Specman: `make help` lists what can be made.
#
# A fresh machine needs Go, git, make and a C compiler (for the race detector).
# Everything else is built from pinned Go modules, or said by name if it is missing.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Both are empty outside a git checkout; the program then says so.
VERSION  ?= $(patsubst v%,%,$(shell git describe --tags --dirty 2>/dev/null))
REVISION ?= $(shell git describe --match= --always --abbrev=40 --dirty=-modified 2>/dev/null)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.revision=$(REVISION)

# The tests of this many packages run at a time: each may start registries.
PACKAGES_AT_A_TIME ?= 2
BENCH    ?= .
ROUNDS   ?= 5
FUZZTIME ?= 30s

# Prints the path of a test tool, built first if it is missing.
TOOL := go run ./internal/testenv/cmd/tools

##@ Specman
.PHONY: build
build: ## Build bin/specman
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/specman ./cmd/specman

.PHONY: run
run: build ## Serve a copy of examples/www (.run/www) from an OCI layout; no registry needed
	examples/run.sh layout

.PHONY: run-zot
run-zot: build ## The same through a real zot on loopback
	examples/run.sh zot "$$($(TOOL) zot)"

.PHONY: push
push: ## Push .run/www again while run or run-zot runs in another terminal
	examples/run.sh push

##@ Checks
.PHONY: lint
lint: ## Check formatting, go vet and staticcheck (staticcheck.conf)
	@unformatted=$$(gofmt -l cmd deploy examples internal test); \
	if [[ -n $$unformatted ]]; then echo "not formatted, run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go vet -tags kube ./test/image ./test/kube/...
	"$$($(TOOL) staticcheck)" ./...
	"$$($(TOOL) staticcheck)" -tags kube ./test/image ./test/kube/...

.PHONY: test
test: tools ## Run all tests with the race detector, against real registries
	go vet ./...
	go test -race -timeout 20m -p $(PACKAGES_AT_A_TIME) ./...

.PHONY: bench
bench: build tools ## Measure against nginx, Caddy, oras and tar (10 minutes); BENCH=regexp picks cells
	test/deps.sh nginx caddy wrk nghttp2-client curl
	go run ./test/bench -cells '$(BENCH)' -rounds $(ROUNDS)

.PHONY: bench-large
bench-large: build tools ## The same with a tree of 60,000 files and 4 GB, and longer loads (40 minutes)
	test/deps.sh nginx caddy wrk nghttp2-client curl
	go run ./test/bench -cells '$(BENCH)' -rounds $(ROUNDS) -time 5s -large

.PHONY: torture
torture: tools ## Tests at full length (SPECMAN_TORTURE=1), then each fuzz target for FUZZTIME
	SPECMAN_TORTURE=1 go test -race -count 1 -timeout 80m -p 1 ./...
	test/fuzz.sh $(FUZZTIME)

.PHONY: test-kube
test-kube: ## Prove image and chart on a real Kubernetes: with a node as root, else its control plane (10 minutes at first)
	test/kube/run.sh

##@ Packages
.PHONY: image
image: ## Build the container image with docker, podman or buildah
	VERSION='$(VERSION)' REVISION='$(REVISION)' deploy/image.sh

.PHONY: chart
chart: ## Package the Helm chart into dist/
	"$$($(TOOL) helm)" package deploy/helm/specman $(if $(VERSION),--app-version '$(VERSION)') --destination dist

.PHONY: docs
docs: build ## Write the table of keys in docs/configuration.md anew
	sed -i '/^This table is written by/q' docs/configuration.md
	(echo; bin/specman config --reference) >> docs/configuration.md

##@ Housekeeping
.PHONY: tools
tools: ## Build the real registries, oras, helm and the linters that tests use (once, into .cache/tools)
	@$(TOOL) helm kubeconform oras registry staticcheck zot

.PHONY: clean
clean: ## Remove what was built and what run left; the tools in .cache stay
	rm -rf bin dist .run

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
