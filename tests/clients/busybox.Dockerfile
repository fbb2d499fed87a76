# Built with: busybox-amd64, busybox-arm64 and a file `content` of random bytes in the same folder.
FROM scratch
ARG TARGETARCH
COPY busybox-${TARGETARCH} /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir /made && uname -m > /made/machine
COPY content /made/content
RUN sha256sum /made/content > /made/sum
CMD ["cat", "/made/machine"]
