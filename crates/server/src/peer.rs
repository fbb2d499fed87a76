//! The registry from which the scrub fetches what is damaged here.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use lazuli_outbound::distribution::{Credentials, Remote};
use lazuli_outbound::{Client, Options, Reach, Url};
use lazuli_registry::scrub::{Peer, PeerError};
use lazuli_wire::oci::{Digest, Reference, RepositoryName};
use tokio::sync::mpsc;

use crate::config::Settings;
use crate::secrets;

/// Pieces of a blob that wait to be stored.
const PIECES: usize = 4;

/// The peer that the settings name.
pub(crate) fn open(settings: &Settings) -> anyhow::Result<Option<Arc<dyn Peer>>> {
    let scrub = &settings.scrub;
    let Some(address) = &scrub.peer else {
        return Ok(None);
    };
    let url = Url::parse(&address.0).context("scrub.peer is not a URL")?;
    let password = secrets::given(
        "scrub.peer_password",
        scrub.peer_password.as_ref(),
        scrub.peer_password_file.as_deref(),
    )?;
    let credentials = match (&scrub.peer_user, password) {
        (Some(user), Some(password)) => Some(Credentials {
            user: user.0.clone(),
            password,
        }),
        (None, None) => None,
        _ => anyhow::bail!("scrub.peer_user and scrub.peer_password belong together"),
    };
    let authorities = scrub
        .peer_authorities
        .iter()
        .map(|path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display())));
    let options = Options {
        // The operator named it, and means what it redirects to, too: often a bucket in the same network.
        reach: Reach::public().and_private().and_named(&url),
        authorities: authorities.collect::<anyhow::Result<_>>()?,
        ..Options::default()
    };
    let remote = Remote::new(Client::new(options)?, url, credentials).context("scrub.peer")?;
    Ok(Some(Arc::new(RemotePeer(Arc::new(remote)))))
}

struct RemotePeer(Arc<Remote>);

impl Peer for RemotePeer {
    fn blob(
        &self,
        repository: RepositoryName,
        digest: Digest,
        size: u64,
    ) -> BoxStream<'static, Result<Bytes, PeerError>> {
        let remote = self.0.clone();
        let (sender, receiver) = mpsc::channel(PIECES);
        tokio::spawn(async move {
            let outcome = async {
                let mut reader = remote.blob(&repository, &digest, size)?;
                while let Some(piece) = reader.next().await? {
                    if sender.send(Ok(piece)).await.is_err() {
                        break;
                    }
                }
                Ok::<_, PeerError>(())
            };
            if let Err(error) = outcome.await {
                let _ = sender.send(Err(error)).await;
            }
        });
        stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|piece| (piece, receiver))
        })
        .boxed()
    }

    fn manifest(
        &self,
        repository: RepositoryName,
        digest: Digest,
    ) -> BoxFuture<'_, Result<Option<Bytes>, PeerError>> {
        Box::pin(async move {
            let reference = Reference::Digest(digest);
            let found = self.0.manifest(&repository, &reference).await?;
            Ok(found.map(|manifest| manifest.bytes))
        })
    }
}
