# The image: one static program, CA certificates and time zones on an empty file
# system, for a uid that is not root. There is no shell and nothing to write to but
# /var/lib/specman. The same commit and the same BUILD_IMAGE make the same files, byte
# for byte.
#
# BUILD_IMAGE must hold Go 1.26 and CA certificates. Where docker.io cannot be
# reached, name a copy in a registry of your own.
ARG BUILD_IMAGE=docker.io/library/golang:1.26-bookworm

# Runs on the builder's own platform and compiles for the one that is asked for.
FROM --platform=${BUILDPLATFORM} ${BUILD_IMAGE} AS build
ARG TARGETOS
ARG TARGETARCH
ARG VERSION
ARG REVISION
ARG GOPROXY
ARG SOURCE_DATE_EPOCH=0
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY LICENSE ./
COPY cmd cmd
COPY internal internal
# timetzdata puts the time zones into the program.
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -buildvcs=false -tags timetzdata \
      -ldflags "-s -w -X main.version=${VERSION} -X main.revision=${REVISION}" \
      -o /out/usr/bin/specman ./cmd/specman \
 && mkdir -p /out/etc/specman /out/etc/ssl/certs /out/var/lib /state \
 && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ \
 && cp LICENSE /out/LICENSE \
 && chmod -R u=rwX,go=rX /out /state \
 && find /out /state -exec touch -h -d "@${SOURCE_DATE_EPOCH}" {} +

FROM scratch
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="specman" \
      org.opencontainers.image.description="Polls an OCI repository and serves the tree that was pushed to it over HTTPS" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/specman/specman" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=build /out /
COPY --from=build --chown=65532:65532 /state /var/lib/specman
USER 65532:65532
VOLUME /var/lib/specman
# For `kubectl exec specman-0 -- specman status`.
ENV PATH=/usr/bin
# The tree over TLS; metrics, health and status.
EXPOSE 8443 8080
ENTRYPOINT ["/usr/bin/specman"]
CMD ["serve"]
