# The images that docker/compose.yaml takes from a registry, for a machine that reaches none: Debian's
# packages, with the paths, users and commands of the images that they stand for.
ARG BASE
FROM ${BASE} AS packages
COPY *.deb /debs/
# There is nothing here that packages could start.
RUN printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d \
    && chmod +x /usr/sbin/policy-rc.d \
    && DEBIAN_FRONTEND=noninteractive dpkg --install /debs/*.deb

FROM packages AS valkey
# As theirs, which is compiled without it.
RUN printf '#!/bin/sh\nexec /usr/bin/valkey-server "$@" --protected-mode no\n' \
        > /usr/local/bin/valkey-server \
    && chmod +x /usr/local/bin/valkey-server
USER valkey
WORKDIR /var/lib/valkey
CMD ["valkey-server"]

FROM packages AS haproxy
# Alpine's wget is busybox, too.
RUN ln -s busybox /bin/wget
USER haproxy
STOPSIGNAL SIGUSR1
CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]

FROM packages AS prometheus
RUN mkdir /prometheus && chown nobody /prometheus
USER nobody
WORKDIR /prometheus
ENTRYPOINT ["prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
