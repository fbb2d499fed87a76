//! Locks.

use lazuli_control::Lock;
use lazuli_wire::arm::{LockBody, Verb};
use serde_json::{Value, json};

use super::Task;
use super::answer::{Answer, Refused};

fn render(lock: &Lock) -> Value {
    let scope = if lock.scope.is_root() {
        ""
    } else {
        lock.scope.as_str()
    };
    let mut properties = json!({"level": lock.level.as_str()});
    if let Some(notes) = &lock.notes {
        properties["notes"] = json!(notes);
    }
    json!({
        "id": format!("{scope}/providers/Microsoft.Authorization/locks/{}", lock.name),
        "name": lock.name,
        "type": "Microsoft.Authorization/locks",
        "properties": properties,
    })
}

pub(super) async fn list(task: &Task<'_>) -> Result<Answer, Refused> {
    let locks = task.control.locks(task.actor()?).await?;
    Ok(Answer::list(locks.iter().map(render).collect()))
}

pub(super) async fn one(task: &Task<'_>, name: &str, verb: Verb) -> Result<Answer, Refused> {
    let actor = task.actor()?;
    match verb {
        Verb::Get | Verb::Head | Verb::Patch => {
            Ok(Answer::ok(render(&task.control.lock(actor, name).await?)))
        }
        Verb::Put => {
            let body = LockBody::read(task.object()?)?;
            let (lock, is_new) = task.control.put_lock(actor, name, body).await?;
            Ok(Answer::made(render(&lock), is_new))
        }
        Verb::Delete => {
            let is_gone = task.control.delete_lock(actor, name).await?;
            Ok(Answer::deleted(is_gone))
        }
    }
}
