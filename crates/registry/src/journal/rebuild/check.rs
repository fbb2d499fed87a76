//! Whether everything that was rebuilt is what it should be.

use lazuli_db::Db;
use lazuli_wire::oci::Digest;

use super::sql::{self, Kind};
use super::{Lost, Progress, RebuildError, Report, Target};

/// Names of lost things that are listed.
const TOLD: u32 = 10_000;

/// Hashes all manifests and small blobs, takes out what is not itself, and names what is missing.
pub(super) async fn check(
    target: &Target,
    report: &mut Report,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), RebuildError> {
    let db = &target.db;
    let mut checked = 0;
    for kind in [Kind::Manifests, Kind::Contents] {
        let mut after = (i64::MIN, Vec::new());
        loop {
            let from = after.clone();
            let page = db
                .read(move |tx| sql::page(tx, kind, from.0, &from.1))
                .await?;
            let Some(last) = page.last() else { break };
            after = (last.owner, last.digest.clone());
            checked += page.len() as u64;
            on_progress(Progress::Checked(checked));
            for row in page.into_iter().filter(|row| !row.is_itself()) {
                let digest = Digest::from_bytes(&row.digest);
                if let (Kind::Manifests, Some(digest)) = (kind, digest) {
                    let repository = repository(db, row.owner).await?;
                    report.lost.push(Lost::Manifest { repository, digest });
                }
                db.write(move |tx| sql::remove(tx, kind, row.owner, &row.digest))
                    .await?;
            }
        }
    }
    db.write(sql::remove_unneeded).await?;
    for (registry, repository, digest) in db.read(|tx| sql::missing(tx, TOLD)).await? {
        report.lost.push(Lost::Blob {
            registry,
            digest,
            repository,
        });
    }
    Ok(())
}

async fn repository(db: &Db, id: i64) -> Result<String, RebuildError> {
    let name = db.read(move |tx| sql::repository(tx, id)).await?;
    Ok(name.unwrap_or_default())
}

/// Counts what is there now.
pub(super) async fn count(target: &Target, report: &mut Report) -> Result<(), RebuildError> {
    let [repositories, manifests, tags, blobs] = target.db.read(sql::counts).await?;
    (report.repositories, report.manifests) = (repositories, manifests);
    (report.tags, report.blobs) = (tags, blobs);
    Ok(())
}
