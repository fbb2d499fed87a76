//! Equal requests for a token within a while.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Process, REGISTRY, basic, bearer, on_both_engines};
use lazuli_identity::OldTokens;

#[test]
fn who_asks_the_same_again_gets_the_same_token_for_a_while() {
    on_both_engines(async |place| {
        let process = Process::start(&place).await;
        let header = basic("lazuli", &process.generated_password());
        // The clock stands at the beginning of a window.
        let first = process.token(&header, "repository:team/app:pull").await;
        process.advance(9);
        let again = process.token(&header, "repository:team/app:pull").await;
        assert_eq!(first, again);
        for other in [
            "repository:team/app:pull,push",
            "repository:team/apps:pull",
            "registry:catalog:*",
        ] {
            assert_ne!(process.token(&header, other).await, first);
        }
        process.advance(1);
        let later = process.token(&header, "repository:team/app:pull").await;
        assert_ne!(first, later);
        assert!(process.authenticate(&bearer(&first)).await.is_ok());
        process
            .identity
            .rotate_signing_keys(REGISTRY, OldTokens::Revoke)
            .await
            .unwrap();
        let renewed = process.token(&header, "repository:team/app:pull").await;
        assert_ne!(later, renewed);
        assert!(process.authenticate(&bearer(&later)).await.is_err());
        assert!(process.authenticate(&bearer(&renewed)).await.is_ok());
    });
}
