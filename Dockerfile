# RefGate's image: one static binary, and the certificate authorities that it believes. No shell, no package manager, no root.
#
#   docker build -t refgate:0.1.0 .

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
# The toolchain of the image, without the components that rust-toolchain.toml asks for and a build does not need.
ENV RUSTUP_TOOLCHAIN=1.95.0
COPY . .
# For the machine that builds, x86-64 or arm64. With --target, the flag reaches the binary alone: build scripts and procedural
# macros cannot be static.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
    && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --bin refgate --target "$target" \
    && install -D -m 0755 "target/$target/release/refgate" /out/refgate

FROM scratch
COPY --from=build /out/refgate /refgate
# Whom to believe about AWS; the API server's authority comes with the service account.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# A number, so that the kubelet can see that it is not root.
USER 65532:65532
EXPOSE 8443 8080 9090
ENTRYPOINT ["/refgate"]
