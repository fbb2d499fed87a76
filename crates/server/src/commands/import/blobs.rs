//! One blob from the source to the target.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use lazuli_outbound::ChannelBody;
use lazuli_outbound::distribution::{self, Upload};
use lazuli_wire::oci::{Descriptor, Digest, RepositoryName};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::copy::{Import, Repository};
use super::source::Reader;

/// Pieces that wait between the two connections.
const PIECES: usize = 2;
/// How long the target may take nothing.
const STALL: Duration = Duration::from_mins(2);
/// Blobs remembered with a repository that has them.
const MOST_PLACED: usize = 500_000;

impl Repository<'_> {
    /// Brings a blob, once, whoever asks; whether it is there.
    pub(super) async fn blob(&self, descriptor: &Descriptor) -> bool {
        let cell = self.blob_cell(descriptor.digest);
        *cell
            .get_or_init(|| async {
                let outcome = self.bring_blob(descriptor).await;
                if let Err(error) = &outcome {
                    let what = format!("blob {} of {}", descriptor.digest, self.from);
                    self.import.report.fail(&what, error);
                }
                outcome.is_ok()
            })
            .await
    }

    async fn bring_blob(&self, descriptor: &Descriptor) -> anyhow::Result<()> {
        let Import { target, report, .. } = self.import;
        let _permit = self.import.blobs.acquire().await?;
        let digest = &descriptor.digest;
        if target.has_blob(&self.to, digest).await? {
            report.blobs.there.add(1);
        } else if self.import.dry_run {
            report.blobs.copied.add(1);
            report.bytes.add(descriptor.size);
        } else {
            self.copy_blob(digest, descriptor.size).await?;
        }
        report.went_well();
        self.import.place(*digest, &self.to);
        Ok(())
    }

    async fn copy_blob(&self, digest: &Digest, size: u64) -> anyhow::Result<()> {
        let Import { target, report, .. } = self.import;
        let mut from = self.import.placed(digest);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Some(upload) = target.begin_upload(&self.to, digest, from.as_ref()).await? else {
                report.mounted.add(1);
                return Ok(());
            };
            // Mounting is tried once.
            from = None;
            let error = match self.send(&upload, digest, size).await? {
                Ok(()) => {
                    report.blobs.copied.add(1);
                    return Ok(());
                }
                Err(error) => error,
            };
            let retry = target.retry();
            // A token may end between the two requests.
            let is_denied = attempt == 1 && matches!(error, distribution::Error::Denied { .. });
            if !(error.is_transient() || is_denied) || attempt >= retry.attempts {
                return Err(error).context("the target does not take it");
            }
            retry.wait(attempt, error.retry_after()).await;
        }
    }

    /// The outer error is the source's, the inner one the target's.
    async fn send(
        &self,
        upload: &Upload,
        digest: &Digest,
        size: u64,
    ) -> anyhow::Result<Result<(), distribution::Error>> {
        let Import { source, target, .. } = self.import;
        let reader = source.blob(&self.from, digest, size)?;
        let (pieces, body) = ChannelBody::new(size, PIECES);
        let (fed, sent) = tokio::join!(
            self.feed(reader, pieces),
            target.send_blob(upload, digest, body)
        );
        fed.context("the copy broke off")?;
        Ok(sent)
    }

    /// Reads until the end, or until the target wants no more.
    async fn feed(
        &self,
        mut reader: Reader<'_>,
        pieces: mpsc::Sender<bytes::Bytes>,
    ) -> anyhow::Result<()> {
        while let Some(piece) = reader.next().await? {
            let length = piece.len() as u64;
            match timeout(STALL, pieces.send(piece)).await {
                Ok(Ok(())) => {}
                // It has answered, or gone: its error says more.
                Ok(Err(_)) => return Ok(()),
                Err(_) => bail!("the target has taken nothing for {STALL:?}"),
            }
            self.import.report.bytes.add(length);
            self.import.report.tick();
        }
        Ok(())
    }
}

impl Import {
    /// A repository of the target that has the blob.
    fn placed(&self, digest: &Digest) -> Option<RepositoryName> {
        self.lock_placed().get(digest).cloned()
    }

    fn place(&self, digest: Digest, repository: &RepositoryName) {
        let mut placed = self.lock_placed();
        if placed.len() < MOST_PLACED && !self.dry_run {
            placed.entry(digest).or_insert_with(|| repository.clone());
        }
    }
}

/// The source does not have what it names.
pub(super) fn not_there() -> anyhow::Error {
    anyhow!("the source does not have it")
}
