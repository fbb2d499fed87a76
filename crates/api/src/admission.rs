//! Where requests come from, and how many of them are let in.

use std::net::IpAddr;

use http::request::Parts;
use lazuli_identity::{Origin, Principal};

use crate::api::Api;
use crate::errors::Refusal;
use crate::rate::Caller;
use crate::service::Received;

impl Api {
    /// Counts a request against its caller's rate.
    pub(crate) fn check_rate(
        &self,
        principal: &Principal,
        request: &Received,
        remote: IpAddr,
    ) -> Result<(), Refusal> {
        if principal.is_anonymous() {
            return self.check_address_rate(request, remote);
        }
        let caller = Caller::Identity(principal.registry().get(), principal.key());
        self.take_rate(caller)
    }

    /// Counts a request of somebody unknown, or whose credentials were refused, against the rate of its address.
    pub(crate) fn check_address_rate(
        &self,
        request: &Received,
        remote: IpAddr,
    ) -> Result<(), Refusal> {
        if self.rate.is_none() {
            return Ok(());
        }
        self.take_rate(Caller::Origin(self.origin(&request.parts, remote)))
    }

    /// Where a request comes from.
    pub(crate) fn origin(&self, request: &Parts, remote: IpAddr) -> Origin {
        Origin::of(self.resolver.client_address(request, remote))
    }

    fn take_rate(&self, caller: Caller<'_>) -> Result<(), Refusal> {
        let Some(rate) = &self.rate else {
            return Ok(());
        };
        rate.take(caller).map_err(|later| {
            self.shell.observed.metrics.rate_limited();
            Refusal::from(later)
        })
    }
}
