# What takes more than cargo: the end-to-end tests on a real control plane (tests/e2e), the demo on it, and a real node.
#
#   KUBERNETES=1.33      an older minor; tests/e2e/control-plane has a folder for each that is supported
#   KUBEBUILDER_ASSETS   a folder with etcd, kube-apiserver and so on; what is missing there is built with Go, once
#   TESTS="fence day"    those tests alone whose name holds one of these words; of `make node`, `all` are all of them
#   REFGATE_ESO_SEED=2   other objects of External Secrets Operator in the test `requests`; REFGATE_ESO_OBJECTS=500 of them
#   PARTS="sync"         those parts of the benchmark alone: webhook, sync, memory

CARGO ?= cargo

.PHONY: test e2e demo node bench-e2e control-plane node-programs moto external-secrets

# Everything.
test:
	$(CARGO) test --locked
	$(MAKE) e2e

e2e: control-plane moto external-secrets
	$(CARGO) test --locked --features e2e --test e2e -- $(TESTS)

# A cluster to try RefGate in, until Ctrl-C.
demo: control-plane
	$(CARGO) test --quiet --locked --features e2e --test e2e -- demo

# The same with a real node, where pods have containers: RefGate's own too, so it is built as it ships, without libraries. With
# TESTS, the tests on that node. It takes root, and leaves nothing behind.
node: export CARGO_BUILD_TARGET = $(shell rustc -vV | sed -n 's/^host: //p')
node: export RUSTFLAGS = -C target-feature=+crt-static
node: node-programs moto
	$(CARGO) test --quiet --locked --features e2e --test e2e -- node $(TESTS)

# What RefGate adds to the creation of a pod, and what the sync costs. With what ships, on a machine that does nothing else.
bench-e2e: control-plane moto
	$(CARGO) build --locked --release --example echo
	$(CARGO) test --locked --release --features e2e --test e2e -- bench $(PARTS)

# Says in one line what is missing, and fails, before anything is compiled.
control-plane:
	@tests/e2e/control-plane/build.sh >/dev/null

node-programs:
	@tests/e2e/control-plane/build.sh node >/dev/null

# The same for AWS Secrets Manager, which is moto's server in a Python environment.
moto:
	@tests/e2e/moto/build.sh >/dev/null

# And for External Secrets Operator, which is built from its Go module, once.
external-secrets:
	@tests/e2e/external-secrets/build.sh >/dev/null
