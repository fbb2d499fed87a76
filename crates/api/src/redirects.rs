//! Who fetches which blobs from the object store itself.

use std::net::IpAddr;
use std::time::Duration;

use crate::resolver::Network;

/// Blobs that clients are sent to the object store for (307).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirects {
    /// From this size on, in bytes.
    pub from_size: u64,
    /// How long an address is good at least.
    pub lifetime: Duration,
    /// Which callers.
    pub callers: RedirectedCallers,
    /// In which networks clients reach the object store; none: in all.
    pub networks: Vec<Network>,
}

/// Whose requests are answered with an address in the object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedirectedCallers {
    /// Everybody's.
    #[default]
    Everyone,
    /// Those of callers who signed in.
    SignedIn,
    /// Those of nobody in particular, who may pull without signing in.
    Anonymous,
}

impl Redirects {
    /// Whether a caller is sent there for a blob of that size. `address` is asked for only when it counts.
    pub(crate) fn hold_for(
        &self,
        size: u64,
        is_anonymous: bool,
        address: impl FnOnce() -> IpAddr,
    ) -> bool {
        let is_caller = match self.callers {
            RedirectedCallers::Everyone => true,
            RedirectedCallers::SignedIn => !is_anonymous,
            RedirectedCallers::Anonymous => is_anonymous,
        };
        if size < self.from_size || !is_caller {
            return false;
        }
        if self.networks.is_empty() {
            return true;
        }
        let address = address();
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn size_caller_and_network_have_to_fit() {
        let all = Redirects {
            from_size: 10,
            lifetime: Duration::ZERO,
            callers: RedirectedCallers::Everyone,
            networks: Vec::new(),
        };
        let inside = || "10.1.2.3".parse().unwrap();
        let outside = || "192.0.2.1".parse().unwrap();
        assert!(all.hold_for(10, true, outside) && all.hold_for(10, false, outside));
        assert!(!all.hold_for(9, true, outside));
        let signed_in = Redirects {
            callers: RedirectedCallers::SignedIn,
            ..all.clone()
        };
        assert!(signed_in.hold_for(10, false, outside) && !signed_in.hold_for(10, true, outside));
        let anonymous = Redirects {
            callers: RedirectedCallers::Anonymous,
            ..all.clone()
        };
        assert!(anonymous.hold_for(10, true, outside) && !anonymous.hold_for(10, false, outside));
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|text| Network::parse(text).unwrap());
        let near = Redirects {
            networks: networks.to_vec(),
            ..all
        };
        assert!(near.hold_for(10, true, inside) && !near.hold_for(10, true, outside));
        assert!(near.hold_for(10, true, || "::ffff:10.1.2.3".parse().unwrap()));
        assert!(!near.hold_for(9, true, inside));
    }
}
