//! Where the bytes of blobs are: as the bucket says, not as the journal remembers.

use lazuli_blobs::{BlobEntry, Listed};

use super::{Progress, RebuildError, Target, sql};

/// Gives every blob the place of an object that has its digest and size.
pub(super) async fn find(
    target: &Target,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), RebuildError> {
    target.db.write(sql::forget_places).await?;
    let mut lister = target.store.list();
    let mut met = 0;
    while let Some(batch) = lister.next().await? {
        met += batch.len() as u64;
        let blobs = batch.into_iter().filter_map(|listed| match listed {
            Listed::Blob(entry) => Some(entry),
            Listed::Foreign(_) => None,
        });
        let blobs: Vec<(i64, BlobEntry)> = blobs
            .filter_map(|entry| Some((registry(&entry)?, entry)))
            .collect();
        target
            .db
            .write(move |tx| {
                for (registry, entry) in &blobs {
                    sql::place(tx, *registry, entry)?;
                }
                Ok::<_, lazuli_db::Error>(())
            })
            .await?;
        on_progress(Progress::Objects(met));
    }
    Ok(())
}

fn registry(entry: &BlobEntry) -> Option<i64> {
    entry.location.as_str().split('/').next()?.parse().ok()
}
