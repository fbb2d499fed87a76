//! Where requests come from, and how many of them are let in.

use std::net::IpAddr;

use http::request::Parts;
use lazuli_identity::{Origin, Principal};

use crate::api::Api;
use crate::errors::Refusal;
use crate::quotas::Kind;
use crate::rate::Caller;
use crate::service::Received;

impl Api {
    /// Counts a request against what its caller and its registry may have.
    pub(crate) fn check_rate(
        &self,
        principal: &Principal,
        request: &Received,
        remote: IpAddr,
        kinds: &[Kind],
    ) -> Result<(), Refusal> {
        if self.rate.is_none() && self.quotas.is_none() {
            return Ok(());
        }
        let registry = principal.registry().get();
        let caller = if principal.is_anonymous() {
            Caller::Origin(self.origin(&request.parts, remote))
        } else {
            Caller::Identity(registry, principal.key())
        };
        self.take_rate(caller)?;
        self.check_quota(kinds, registry, Some(caller))
    }

    /// Counts a request of these kinds.
    pub(crate) fn check_quota(
        &self,
        kinds: &[Kind],
        registry: i64,
        caller: Option<Caller<'_>>,
    ) -> Result<(), Refusal> {
        let Some(quotas) = &self.quotas else {
            return Ok(());
        };
        for kind in kinds {
            quotas.take(*kind, registry, caller)?;
        }
        Ok(())
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
        Ok(rate.take(caller)?)
    }
}
