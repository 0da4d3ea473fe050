//! An event as JSON: what happened, to which container, and what belongs to that kind of event.

use serde_json::{Map, Value, json};

use crate::contract::wxc::hook::types::{Context, Detail};
use crate::events::word;

/// Longest error message that is told.
const MESSAGE: usize = 4096;

/// The document about an event.
pub fn document(context: &Context) -> Value {
    let container = &context.container;
    let labels = container.labels.iter().map(|label| (label.name.clone(), Value::from(label.value.clone())));
    json!({
        "event": word(context.event),
        "container": container.name,
        "privileged": container.privileged,
        "ephemeral": container.ephemeral,
        "pid": container.pid,
        "labels": labels.collect::<Map<_, _>>(),
        "detail": detail(&context.detail),
    })
}

fn detail(detail: &Detail) -> Value {
    match detail {
        Detail::None => Value::Null,
        Detail::Network(link) => json!({
            "interface": link.name,
            "kind": link.kind,
            "parent": link.parent,
            "peer": link.peer,
            "addresses": link.addresses,
        }),
        Detail::Ending(ending) => json!({
            "code": ending.code,
            "signal": ending.signal,
            "out-of-memory": ending.out_of_memory,
            "reboot": ending.reboot,
        }),
        Detail::Failure(failure) => {
            json!({ "step": cut(&failure.step), "message": cut(&failure.message) })
        }
        Detail::Origin(name) => json!({ "origin": name }),
        Detail::Snapshot(name) => json!({ "snapshot": name }),
        Detail::Keys(keys) => json!({ "keys": keys }),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MESSAGE).collect()
}

/// A document as one line of at most `longest` bytes without a character that could draw on a terminal. One that is too long is told
/// without labels, and then without details; it says so.
pub fn line(document: &Value, longest: usize) -> String {
    let mut document = document.clone();
    let mut text = escaped(&document);
    for part in ["labels", "detail"] {
        if text.len() > longest {
            document[part] = Value::from("left out: too long");
            text = escaped(&document);
        }
    }
    text
}

/// JSON escapes what is below a blank; what is left are the other control characters, and what begins a line to some.
fn escaped(document: &Value) -> String {
    let mut text = String::new();
    for c in document.to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)))
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::wxc::hook::types::{Container, Ending, Event, Failure, Plan};
    use crate::contract::wxc::host::types::Pair;

    fn context(detail: Detail) -> Context {
        let none = Vec::new;
        Context {
            event: Event::PostStop,
            container: Container {
                name: "web".into(),
                architecture: "x86_64".into(),
                privileged: false,
                ephemeral: true,
                pid: Some(7),
                labels: vec![Pair { name: "tier".into(), value: "shop\u{1b}\u{9b}2J".into() }],
                settings: vec![],
            },
            plan: Plan {
                hostname: "web".into(),
                init: vec![],
                environment: none(),
                mounts: vec![],
                devices: vec![],
                interfaces: vec![],
                limits: none(),
                sysctls: none(),
                capabilities: vec![],
            },
            detail,
            arguments: vec![],
        }
    }

    #[test]
    fn what_happened_is_told() {
        let ending = Ending { code: None, signal: Some(9), out_of_memory: false, reboot: false };
        let told = document(&context(Detail::Ending(ending)));
        assert_eq!(told["event"], "post-stop");
        assert_eq!((&told["container"], &told["pid"]), (&json!("web"), &json!(7)));
        assert_eq!((&told["detail"]["signal"], &told["detail"]["code"]), (&json!(9), &Value::Null));
        assert_eq!(document(&context(Detail::Origin("old".into())))["detail"]["origin"], "old");
        assert_eq!(document(&context(Detail::None))["detail"], Value::Null);
    }

    #[test]
    fn a_line_is_one_and_no_longer_than_it_may_be() {
        let short = document(&context(Detail::None));
        let text = line(&short, 1000);
        assert!(!text.contains(char::is_control) && text.contains("\\u001b\\u009b2J"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), short);
        let message = "x".repeat(100_000);
        let long = document(&context(Detail::Failure(Failure { step: "start".into(), message })));
        assert!(line(&long, 16 << 10).contains("xxxx"));
        let text = line(&long, 300);
        assert!(text.len() <= 300 && text.contains("left out") && text.contains("post-stop"), "{text}");
    }
}
