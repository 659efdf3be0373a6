# syntax=docker/dockerfile:1

# The image of the broker: one program, no root. Settings come from variables, such as MSGSTREAM_OUTBOX__LIMIT.
#
#     docker build --tag msgstream .
#     docker run --publish 127.0.0.1:7342:7342 --volume msgstream:/var/lib/msgstream --stop-timeout 45 msgstream

# Not the slim image: building the allocator needs make.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
# The dependencies first, in a layer of their own that stays as long as these two files do. What the manifest says of tests, examples and
# benches is left out, since none of them is here.
RUN sed -i '/^\[\[test\]\]/,$d' Cargo.toml \
    && mkdir src && touch src/lib.rs && echo 'fn main() {}' >src/main.rs \
    && cargo build --release --locked --bin msgstream \
    && rm -r src
# The program knows its defaults from the file that explains them.
COPY config ./config
COPY src ./src
# Cargo looks at times, and these files may be older than the empty ones that they replace.
RUN touch src/lib.rs src/main.rs && cargo build --release --locked --bin msgstream

# The same Debian as above, since the program is linked against its glibc.
FROM debian:bookworm-slim
COPY --from=build /src/target/release/msgstream /usr/local/bin/msgstream
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/msgstream/
COPY config/msgstream.toml /etc/msgstream/msgstream.toml
# The store's place, so that a restart loses nothing. A volume gets the owner and the mode of this directory when it is new. For a broker
# without a store, give MSGSTREAM_STORE__PATH an empty value.
RUN install --directory --mode=700 --owner=65534 --group=65534 /var/lib/msgstream
VOLUME /var/lib/msgstream
ENV MSGSTREAM_STORE__PATH=/var/lib/msgstream/store.redb
# The user nobody: the broker owns nothing but its store, and needs no privileges.
USER 65534:65534
# All addresses of the container; the ports you publish decide who reaches them. To read settings from the file as well, give this
# command: serve --config /etc/msgstream/msgstream.toml
ENV MSGSTREAM_LISTEN=0.0.0.0:7342
EXPOSE 7342
# The first SIGTERM asks the broker to send what is queued and stop; see `msgstream serve --help`.
STOPSIGNAL SIGTERM
# It asks 127.0.0.1:7342. If MSGSTREAM_LISTEN has no such address, set MSGSTREAM_SERVER to one that it has. A broker that does not
# let the check in (77), for want of a token or of room, is alive; with MSGSTREAM_TOKEN, a token without any right, the check goes where
# every message does.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD msgstream health --timeout 4s || [ $? = 77 ]
ENTRYPOINT ["msgstream"]
# All addresses of the container (see MSGSTREAM_LISTEN above); the ports you publish decide who reaches them, so the broker need not ask for
# tokens. With MSGSTREAM_AUTH__TOKENS it does.
ENV MSGSTREAM_AUTH__ALLOW_ANONYMOUS=true
CMD ["serve"]
