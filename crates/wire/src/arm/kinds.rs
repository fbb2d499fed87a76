//! The words that routes are made of.

use http::Method;

/// What is done with one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Read it.
    Get,
    /// Ask whether it is there.
    Head,
    /// Make it, or replace it.
    Put,
    /// Change parts of it.
    Patch,
    /// Delete it.
    Delete,
}

impl Verb {
    /// The last word of the action of a role.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Get | Self::Head => "read",
            Self::Put | Self::Patch => "write",
            Self::Delete => "delete",
        }
    }

    /// Whether it changes anything.
    pub const fn is_change(self) -> bool {
        !matches!(self, Self::Get | Self::Head)
    }

    pub(super) fn of(method: &Method) -> Option<Self> {
        Some(match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            _ => return None,
        })
    }
}

/// Kinds of things below a registry that Azure has and this server has none of yet: their lists are empty, making one is
/// refused with the name of what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Later {
    /// `webhooks`
    Webhooks,
    /// `replications`
    Replications,
    /// `cacheRules`
    CacheRules,
    /// `credentialSets`
    CredentialSets,
    /// `connectedRegistries`
    ConnectedRegistries,
    /// `privateEndpointConnections`
    PrivateEndpointConnections,
    /// `privateLinkResources`
    PrivateLinkResources,
    /// `exportPipelines`
    ExportPipelines,
    /// `importPipelines`
    ImportPipelines,
    /// `pipelineRuns`
    PipelineRuns,
    /// `packages`
    Packages,
    /// `agentPools`
    AgentPools,
    /// `tasks`
    Tasks,
    /// `taskRuns`
    TaskRuns,
    /// `runs`
    Runs,
}

impl Later {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::Webhooks,
        Self::Replications,
        Self::CacheRules,
        Self::CredentialSets,
        Self::ConnectedRegistries,
        Self::PrivateEndpointConnections,
        Self::PrivateLinkResources,
        Self::ExportPipelines,
        Self::ImportPipelines,
        Self::PipelineRuns,
        Self::Packages,
        Self::AgentPools,
        Self::Tasks,
        Self::TaskRuns,
        Self::Runs,
    ];

    /// The word in paths.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Webhooks => "webhooks",
            Self::Replications => "replications",
            Self::CacheRules => "cacheRules",
            Self::CredentialSets => "credentialSets",
            Self::ConnectedRegistries => "connectedRegistries",
            Self::PrivateEndpointConnections => "privateEndpointConnections",
            Self::PrivateLinkResources => "privateLinkResources",
            Self::ExportPipelines => "exportPipelines",
            Self::ImportPipelines => "importPipelines",
            Self::PipelineRuns => "pipelineRuns",
            Self::Packages => "packages",
            Self::AgentPools => "agentPools",
            Self::Tasks => "tasks",
            Self::TaskRuns => "taskRuns",
            Self::Runs => "runs",
        }
    }

    /// What is missing, for people.
    pub const fn feature(self) -> &'static str {
        match self {
            Self::Webhooks => "webhooks",
            Self::Replications => "geo-replication",
            Self::CacheRules => "artifact cache",
            Self::CredentialSets => "credential sets of artifact cache",
            Self::ConnectedRegistries => "connected registries",
            Self::PrivateEndpointConnections | Self::PrivateLinkResources => "private endpoints",
            Self::ExportPipelines | Self::ImportPipelines | Self::PipelineRuns => {
                "transfer pipelines"
            }
            Self::Packages => "archives of packages",
            Self::AgentPools => "agent pools",
            Self::Tasks | Self::TaskRuns | Self::Runs => "tasks",
        }
    }

    pub(super) fn parse(lower: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.word().eq_ignore_ascii_case(lower))
    }
}

/// Actions on a registry that Azure has and this server does not have yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LaterAction {
    /// `importImage`
    ImportImage,
    /// `scheduleRun`
    ScheduleRun,
    /// `listBuildSourceUploadUrl`
    ListBuildSourceUploadUrl,
}

impl LaterAction {
    /// Every one.
    pub const ALL: [Self; 3] = [
        Self::ImportImage,
        Self::ScheduleRun,
        Self::ListBuildSourceUploadUrl,
    ];

    /// The word in paths.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ImportImage => "importImage",
            Self::ScheduleRun => "scheduleRun",
            Self::ListBuildSourceUploadUrl => "listBuildSourceUploadUrl",
        }
    }

    /// What is missing, for people.
    pub const fn feature(self) -> &'static str {
        match self {
            Self::ImportImage => "import of images",
            Self::ScheduleRun | Self::ListBuildSourceUploadUrl => "tasks",
        }
    }

    pub(super) fn parse(lower: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|action| action.word().eq_ignore_ascii_case(lower))
    }
}
