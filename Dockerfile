# syntax=docker/dockerfile:1

# The image of the broker: one program, no root.
#
#     docker build --tag msgstream .
#     docker run --publish 7342:7342 msgstream

# Not the slim image: building the allocator needs make.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY benches ./benches
COPY examples ./examples
COPY tests ./tests
COPY src ./src
# The caches stay with the builder, so that a change in src does not compile the dependencies again. Their contents are not part of a
# layer, so the program is copied out.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin msgstream \
    && cp target/release/msgstream /usr/local/bin/msgstream

# The same Debian as above, since the program is linked against its glibc.
FROM debian:bookworm-slim
COPY --from=build /usr/local/bin/msgstream /usr/local/bin/msgstream
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/msgstream/
COPY config/msgstream.toml /etc/msgstream/msgstream.toml
# The user nobody: the broker owns no files and needs no privileges.
USER 65534:65534
EXPOSE 7342
# The first SIGTERM asks the broker to send what is queued and stop; see `msgstream serve --help`.
STOPSIGNAL SIGTERM
# No HEALTHCHECK: the image holds no other program to check with. Let the platform open a connection to the port.
ENTRYPOINT ["msgstream"]
# All addresses of the container; the ports you publish decide who reaches them, so the broker need not ask for tokens. With
# MSGSTREAM_AUTH__TOKENS it does. To use the file, give this command:
# serve --listen 0.0.0.0:7342 --config /etc/msgstream/msgstream.toml
ENV MSGSTREAM_AUTH__ALLOW_ANONYMOUS=true
CMD ["serve", "--listen", "0.0.0.0:7342"]
