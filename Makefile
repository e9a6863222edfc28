# Everything works from a fresh clone, as root or with sudo, without questions.
# What is missing of Debian's packages is installed (scripts/need).

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
DIST    := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

.PHONY: help build demo test check bench dist generate screenshots clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

build: ## bin/flyball
	@scripts/need go git
	$(GO) build -o bin/flyball ./cmd/flyball

demo: build ## the whole loop on a sample service, on screen and in the browser
	bin/flyball demo

test: ## all tests, the story of the demo included
	@scripts/test

check: ## format, vet, staticcheck, the order of the house, links, what is generated
	@scripts/check

bench: ## figures beside named peers, in one run (about an hour)
	@scripts/bench

dist: ## static binaries for linux and macOS, amd64 and arm64, with checksums
	@scripts/need go git
	@rm -rf dist && mkdir -p dist
	@set -e; for target in $(DIST); do \
		os=$${target%/*}; arch=$${target#*/}; out=dist/flyball-$(VERSION)-$$os-$$arch; \
		echo "$$out"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -trimpath \
			-ldflags "-s -w -X github.com/flyball-dev/flyball/internal/app.version=$(VERSION)" -o $$out ./cmd/flyball; \
	done
	@cd dist && (sha256sum flyball-* 2>/dev/null || shasum -a 256 flyball-*) | tee SHA256SUMS

generate: ## write what is generated from the code
	$(GO) run ./internal/house/architecture

screenshots: ## the pictures of the README, made by a browser test
	@scripts/need go git chromium
	$(GO) test -count=1 -run TestScreenshots ./internal/app/webtest -update-screenshots

clean: ## remove what was built here
	rm -rf bin dist
