# `make` shows the targets. Everything they install goes into .bin/ (git-ignored), except Debian packages.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

BIN := $(CURDIR)/.bin
DEV := scripts/dev

# The checkout names the version, whoever owns its files; without its history the build says so.
GIT     := git -c safe.directory='$(CURDIR)'
VERSION ?= $(shell $(GIT) describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell $(GIT) rev-parse HEAD 2>/dev/null || true)
DATE    ?= $(shell $(GIT) log -1 --format=%cI 2>/dev/null || true)
LDFLAGS  = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

# Narrow the work: make test PKG=./storage/ledger/... ARGS='-run TestLease -count=1'
PKG      ?= ./...
ARGS     ?=
FUZZTIME ?= 30s

##: learn

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^##: / { print substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##: use

.PHONY: build
build: ## Build bin/upkeep, one static binary
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/upkeep ./cmd/upkeep

.PHONY: run
run: build ## Run the quickstart's daily workflow on this machine
	@bin/upkeep -c configs/quickstart.yaml run daily || { \
	  code=$$?; \
	  [[ $$code -eq 5 ]] || exit $$code; \
	  echo "make: succeeded with warnings, see above"; \
	}

##: judge

.PHONY: test
test: deps-test install-tools install-axe ## Run all tests with the race detector against private servers
	$(DEV)/test.sh $(PKG) $(ARGS)

.PHONY: check
check: lint check-generated build test ## What CI runs: lint, generated files, build, test

.PHONY: lint
lint: deps-lint install-tools ## Run the linters on Go and shell
	$(BIN)/golangci-lint config verify
	$(BIN)/golangci-lint run $(PKG)
	shellcheck .ci/run $(DEV)/*.sh scripts/packaging/*.sh
	$(DEV)/vendor.sh verify
	go mod tidy -diff

.PHONY: check-generated
check-generated: ## Fail when `make generate` would change a file
	$(DEV)/generated.sh

.PHONY: cover
cover: deps-test install-tools install-axe ## Measure test coverage into coverage/
	@mkdir -p coverage
	$(DEV)/servers.sh run -- go test -coverpkg=./... -coverprofile=coverage/cover.out $(PKG) $(ARGS)
	go tool cover -html=coverage/cover.out -o coverage/cover.html
	@go tool cover -func=coverage/cover.out | tail -n 1

.PHONY: bench
bench: deps-test install-tools build ## Measure overhead, start-up, memory, the ledger, pages (ARGS='-only cluster': nodes)
	go run ./scripts/dev/bench $(ARGS)
	@printf '\n## a recorded run inside the process, beside a bare fork and exec\n\n'
	go test -run '^$$' -bench '^BenchmarkRun$$' ./runner/executor
	@printf '\n## the ledger with %s runs (UPKEEP_BENCH_ROWS)\n\n' "$${UPKEEP_BENCH_ROWS:-1000000}"
	UPKEEP_BENCH_ROWS=$${UPKEEP_BENCH_ROWS:-1000000} $(DEV)/servers.sh run -- go test -run '^$$' -bench '^Benchmark(Read|Run|Open)$$' -timeout 60m ./storage/ledger
	@printf '\n## archives and pruning beside plain tools\n\n'
	go test -run '^$$' -bench '^Benchmark(Archive|Prune)$$' -benchtime 3x ./jobs/archive ./jobs/prune
	go run ./scripts/dev/bench -only web -rows "$${UPKEEP_BENCH_ROWS:-1000000}"
	go run ./scripts/dev/bench -only cluster
	go run ./scripts/dev/bench -only backup -database-mb "$${UPKEEP_BENCH_DATABASE_MB:-1600}"

.PHONY: soak
soak: deps-test install-tools install-axe ## Run the long suites whole (chaos, kill, a million rows)
	UPKEEP_SOAK=1 $(DEV)/test.sh $(PKG) -count=1 -timeout=4h $(ARGS)

.PHONY: fuzz
fuzz: ## Fuzz every fuzz target for FUZZTIME each (default 30s)
	$(DEV)/fuzz.sh $(FUZZTIME)

##: ship

.PHONY: package
package: ## Build dist/*.deb and dist/*.rpm, the same from the same source
	scripts/packaging/package.sh $(ARGS)

.PHONY: check-package
check-package: package ## Look at what is in the packages, and at the unit
	scripts/packaging/test.sh

.PHONY: test-systemd
test-systemd: ## Boot the package in a container with a real systemd (root, systemd-nspawn, debootstrap)
	scripts/packaging/package.sh host
	scripts/packaging/nspawn.sh

##: change

.PHONY: fmt
fmt: install-tools ## Format the Go code
	$(BIN)/golangci-lint fmt ./...

.PHONY: generate
generate: ## Write the generated files anew
	go generate ./...

##: set up

.PHONY: install-tools
install-tools: ## Build the pinned tools into .bin/
	@$(DEV)/tools.sh

.PHONY: install-axe
install-axe: deps-test
	@$(DEV)/vendor.sh tools

.PHONY: deps-lint deps-test
deps-lint deps-test: deps-%:
	@$(DEV)/deps.sh $*

.PHONY: clean
clean: ## Remove what make built; tools, and what upkeep keeps in var/, stay
	rm -rf bin coverage dist
