//! What is read of the directory.

use http::{Response, StatusCode};
use lazuli_identity::{Object, ObjectKind};
use lazuli_wire::Guid;
use lazuli_wire::graph::{Filter, Key, Relation, Set, Verb};
use lazuli_wire::query::{Query, QueryLimits};
use serde_json::{Map, Value, json};

use super::answer::{self, Refused};
use super::{Asked, shape};
use crate::body::Body;

/// Objects on a page, unless a number is asked for, and at most.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 999;

/// Objects that are looked at for one page: a filter that passes few of many goes on with the next page.
const LOOKED_AT: usize = 5000;

/// Objects that are read at once.
const AT_ONCE: u32 = 500;

/// Most numbers in one request.
const MOST_IDS: usize = 1000;

pub(super) const fn kinds(set: Set) -> &'static [ObjectKind] {
    match set {
        Set::Users => &[ObjectKind::User],
        Set::Groups => &[ObjectKind::Group],
        Set::Applications => &[ObjectKind::Application],
        Set::ServicePrincipals => &[ObjectKind::ServicePrincipal, ObjectKind::ManagedIdentity],
    }
}

/// The options of a list.
struct Options {
    filter: Option<Filter>,
    top: usize,
    select: Option<Vec<String>>,
    /// Where the page begins: the place of the kind, and the name it is behind.
    after: (usize, String),
}

impl Options {
    fn read(query: &str) -> Result<Self, Refused> {
        let bad = |text: &str| Refused::Bad(text.to_owned());
        let query = Query::parse(query, &QueryLimits::QUERY);
        let query = query.map_err(|error| Refused::Bad(error.to_string()))?;
        let one = |name: &str| {
            let value = query.single(name);
            value.map_err(|error| Refused::Bad(error.to_string()))
        };
        for name in ["$search", "$orderby", "$expand", "$skip", "$apply"] {
            if one(name)?.is_some() {
                return Err(Refused::Bad(format!(
                    "The query option {name} is not supported here; there are $filter, $top and $select."
                )));
            }
        }
        let filter = one("$filter")?.map(Filter::parse).transpose();
        let filter = filter.map_err(|error| Refused::Bad(error.to_string()))?;
        let top = match one("$top")? {
            None => PAGE,
            Some(text) => match text.parse() {
                Ok(number @ 1..=LARGEST_PAGE) => number,
                _ => return Err(bad("$top is a number from 1 to 999")),
            },
        };
        let select = one("$select")?.map(|text| text.split(',').map(str::to_owned).collect());
        let after = match one("$skiptoken")? {
            None => (0, String::new()),
            Some(text) => {
                let (place, name) = text.split_once('.').ok_or_else(|| bad("$skiptoken"))?;
                (
                    place.parse().map_err(|_| bad("$skiptoken"))?,
                    name.to_owned(),
                )
            }
        };
        Ok(Self {
            filter,
            top,
            select,
            after,
        })
    }
}

fn selected(mut shown: Map<String, Value>, select: Option<&Vec<String>>) -> Value {
    if let Some(select) = select {
        shown.retain(|name, _| name.starts_with('@') || select.contains(name) || name == "id");
    }
    Value::Object(shown)
}

impl Asked<'_> {
    /// A page of a list.
    pub(super) fn page(
        &self,
        what: &str,
        items: Vec<Value>,
        next: Option<String>,
    ) -> Response<Body> {
        let mut body = json!({
            "@odata.context": format!("{}/v1.0/$metadata#{what}", self.graph),
        });
        body["value"] = Value::Array(items);
        if let Some(next) = next {
            body["@odata.nextLink"] = Value::from(next);
        }
        answer::json(StatusCode::OK, &body)
    }

    /// An object, with as much as the caller may know.
    pub(super) async fn shown(&self, object: &Object) -> Result<Map<String, Value>, Refused> {
        let identity = &self.api.identity;
        let mut uris = Vec::new();
        if object.kind == ObjectKind::ServicePrincipal {
            let app = identity.object_named(ObjectKind::Application, &object.name_key);
            if let Some(app) = app.await? {
                uris = app.texts("identifierUris").map(str::to_owned).collect();
            }
        }
        if !self.may.knows(object.id) {
            return Ok(shape::names(object, &uris));
        }
        let credentials = identity.object_credentials(object.id).await?;
        let tenant = identity.tenant().await?.id;
        Ok(shape::whole(object, &uris, &credentials, tenant))
    }

    /// An object by itself.
    pub(super) async fn show(&self, object: Object) -> Result<Response<Body>, Refused> {
        let options = Options::read(self.query)?;
        let mut shown = self.shown(&object).await?;
        let context = format!(
            "{}/v1.0/$metadata#{}/$entity",
            self.graph,
            object.kind.as_str()
        );
        shown.insert("@odata.context".to_owned(), Value::from(context));
        let shown = selected(shown, options.select.as_ref());
        Ok(answer::json(StatusCode::OK, &shown))
    }

    /// The object of a set that is meant.
    pub(super) async fn find(&self, set: Set, key: &Key) -> Result<Object, Refused> {
        let identity = &self.api.identity;
        let (found, name) = match key {
            Key::Id(id) => (identity.object(*id).await?, id.to_string()),
            Key::Name(name) => {
                let mut found = None;
                for kind in kinds(set) {
                    if found.is_none() && *kind != ObjectKind::Group {
                        found = identity.object_named(*kind, name).await?;
                    }
                }
                (found, name.clone())
            }
        };
        found
            .filter(|object| kinds(set).contains(&object.kind))
            .ok_or(Refused::NotFound(name))
    }

    pub(super) async fn me(&self) -> Result<Response<Body>, Refused> {
        let id = self.may.caller.object();
        let object = self.api.identity.object(id).await?;
        let object = object.ok_or_else(|| Refused::NotFound(id.to_string()))?;
        if object.kind != ObjectKind::User {
            return Err(Refused::Bad(
                "/me request is only valid with delegated authentication flow.".to_owned(),
            ));
        }
        self.show(object).await
    }

    pub(super) async fn object(&self, id: Guid) -> Result<Response<Body>, Refused> {
        let object = self.api.identity.object(id).await?;
        let object = object.ok_or_else(|| Refused::NotFound(id.to_string()))?;
        let mut shown = self.shown(&object).await?;
        let kind = shape::odata_type(object.kind);
        shown.insert("@odata.type".to_owned(), Value::from(kind));
        Ok(answer::json(StatusCode::OK, &Value::Object(shown)))
    }

    pub(super) async fn organization(&self) -> Result<Response<Body>, Refused> {
        let tenant = self.api.identity.tenant().await?;
        let item = json!({
            "id": tenant.id, "displayName": tenant.domain,
            "verifiedDomains": [{ "name": tenant.domain, "isDefault": true, "isInitial": true, "type": "Managed" }],
        });
        Ok(self.page("organization", vec![item], None))
    }

    /// A list, a page at a time.
    pub(super) async fn list(&self, set: Set) -> Result<Response<Body>, Refused> {
        let options = Options::read(self.query)?;
        let identity = &self.api.identity;
        let mut items = Vec::new();
        // What is found by its name needs no walk.
        let names = ["userPrincipalName", "appId", "servicePrincipalNames"];
        let demanded = options
            .filter
            .as_ref()
            .and_then(|filter| names.iter().find_map(|name| filter.demands(name)));
        if let Some(name) = demanded {
            let found = self.find(set, &Key::Name(name.to_owned())).await.ok();
            if let Some(object) = found {
                self.add(&mut items, &object, &options).await?;
                return Ok(self.page(set.as_str(), items, None));
            }
        }
        let mut looked_at = 0;
        let (first, mut after) = options.after.clone();
        for (place, kind) in kinds(set).iter().enumerate().skip(first) {
            loop {
                let objects = identity.objects(*kind, &after, AT_ONCE).await?;
                let is_last = objects.len() < AT_ONCE as usize;
                for object in &objects {
                    if items.len() == options.top || looked_at == LOOKED_AT {
                        return Ok(self.page(
                            set.as_str(),
                            items,
                            Some(self.next(set, place, &after)),
                        ));
                    }
                    looked_at += 1;
                    after.clone_from(&object.name_key);
                    self.add(&mut items, object, &options).await?;
                }
                if is_last {
                    break;
                }
            }
            after.clear();
        }
        Ok(self.page(set.as_str(), items, None))
    }

    async fn add(
        &self,
        items: &mut Vec<Value>,
        object: &Object,
        options: &Options,
    ) -> Result<(), Refused> {
        let shown = self.shown(object).await?;
        let passes = options.filter.as_ref();
        if passes.is_none_or(|filter| filter.matches(&shown)) {
            items.push(selected(shown, options.select.as_ref()));
        }
        Ok(())
    }

    fn next(&self, set: Set, place: usize, after: &str) -> String {
        let kept = self.query.split('&');
        let kept = kept.filter(|pair| !pair.is_empty() && !is_skip_token(pair));
        let mut query: Vec<String> = kept.map(str::to_owned).collect();
        let encoded: String = after
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
        query.push(format!("$skiptoken={place}.{encoded}"));
        format!("{}/v1.0/{}?{}", self.graph, set.as_str(), query.join("&"))
    }

    /// Members of a group, or the groups an object is in.
    pub(super) async fn related_to(
        &self,
        id: Guid,
        relation: Relation,
    ) -> Result<Response<Body>, Refused> {
        let identity = &self.api.identity;
        let found = match relation {
            Relation::Members => identity.group_members(id).await?,
            Relation::TransitiveMembers => self.all_members(id).await?,
            Relation::MemberOf => identity.groups_of_object(id, false).await?,
            Relation::TransitiveMemberOf => identity.groups_of_object(id, true).await?,
            Relation::Owners => Vec::new(),
        };
        let mut items = Vec::new();
        for object in found {
            let mut shown = self.shown(&object).await?;
            let kind = shape::odata_type(object.kind);
            shown.insert("@odata.type".to_owned(), Value::from(kind));
            items.push(Value::Object(shown));
        }
        Ok(self.page("directoryObjects", items, None))
    }

    async fn all_members(&self, group: Guid) -> Result<Vec<Object>, Refused> {
        let mut known: Vec<Object> = Vec::new();
        let mut next = vec![group];
        while let Some(one) = next.pop() {
            for member in self.api.identity.group_members(one).await? {
                if known.len() < LOOKED_AT && known.iter().all(|other| other.id != member.id) {
                    if member.kind == ObjectKind::Group {
                        next.push(member.id);
                    }
                    known.push(member);
                }
            }
        }
        Ok(known)
    }

    fn ids(&self, name: &str) -> Result<Vec<Guid>, Refused> {
        let list = self.body.get(name).and_then(Value::as_array);
        let list = list.ok_or_else(|| Refused::Bad(format!("{name} is a list of IDs")))?;
        if list.len() > MOST_IDS {
            return Err(Refused::Bad(format!("{name} has at most {MOST_IDS} IDs")));
        }
        let read = list
            .iter()
            .map(|id| id.as_str().and_then(|id| Guid::parse(id).ok()));
        let read: Option<Vec<Guid>> = read.collect();
        read.ok_or_else(|| Refused::Bad(format!("{name} is a list of IDs")))
    }

    pub(super) async fn get_by_ids(&self) -> Result<Response<Body>, Refused> {
        let wanted = self.body.get("types").and_then(Value::as_array);
        let mut items = Vec::new();
        for id in self.ids("ids")? {
            let Some(object) = self.api.identity.object(id).await? else {
                continue;
            };
            let kind = shape::odata_type(object.kind);
            let short = kind.rsplit('.').next().unwrap_or_default();
            let is_wanted = wanted.is_none_or(|types| {
                let mut types = types.iter().filter_map(Value::as_str);
                types.any(|word| word.eq_ignore_ascii_case(short) || word == "directoryObject")
            });
            if is_wanted {
                let mut shown = self.shown(&object).await?;
                shown.insert("@odata.type".to_owned(), Value::from(kind));
                items.push(Value::Object(shown));
            }
        }
        Ok(self.page("directoryObjects", items, None))
    }

    /// Something that is done with an object.
    pub(super) async fn verb(&self, id: Guid, verb: Verb) -> Result<Response<Body>, Refused> {
        let identity = &self.api.identity;
        let object = identity.object(id).await?;
        let object = object.ok_or_else(|| Refused::NotFound(id.to_string()))?;
        match verb {
            Verb::AddPassword => self.add_password(&object).await,
            Verb::RemovePassword => self.remove_password(&object).await,
            Verb::RevokeSignInSessions => self.revoke(&object).await,
            Verb::GetMemberGroups | Verb::GetMemberObjects => {
                let groups = identity.groups_of_object(id, true).await?;
                let ids = groups
                    .iter()
                    .map(|group| Value::from(group.id.to_string()))
                    .collect();
                Ok(self.page("Collection(Edm.String)", ids, None))
            }
            Verb::CheckMemberGroups => {
                let asked = self.ids("groupIds")?;
                let groups = identity.groups_of_object(id, true).await?;
                let among = groups.iter().filter(|group| asked.contains(&group.id));
                let ids = among.map(|group| Value::from(group.id.to_string()));
                Ok(self.page("Collection(Edm.String)", ids.collect(), None))
            }
        }
    }
}

fn is_skip_token(pair: &str) -> bool {
    ["$skiptoken", "%24skiptoken"]
        .iter()
        .any(|name| pair.starts_with(name))
}
