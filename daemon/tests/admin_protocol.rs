//! What is said on the admin socket, as text: scripts rely on it.

use gitmoor::admin::{Answer, Rejection};
use gitmoor::command::repo::create::Created;
use gitmoor::command::umount::UmountRequest;
use gitmoor::command::{Reply, Request};

fn request(line: &str) -> Result<Request, serde_json::Error> {
    serde_json::from_str(line)
}

#[test]
fn requests_are_tagged_objects() {
    assert_eq!(request(r#"{"request":"status"}"#).unwrap(), Request::Status);
    let line = r#"{"request":"umount","mountpoint":"/mnt/git","lazy":false}"#;
    let umount = Request::Umount(UmountRequest {
        mountpoint: "/mnt/git".into(),
        lazy: false,
    });
    assert_eq!(request(line).unwrap(), umount);
    assert_eq!(serde_json::to_string(&umount).unwrap(), line);
}

#[test]
fn requests_are_checked() {
    assert!(request(r#"{"request":"reboot"}"#).is_err());
    assert!(request(r#"{"request":"repo-info"}"#).is_err());
    for name in ["../app.git", "/app.git", "a.git/b.git", ""] {
        let line = format!(r#"{{"request":"repo-info","name":"{name}"}}"#);
        assert!(request(&line).is_err(), "{name}");
    }
    for name in ["team/app.git", "app"] {
        let line = format!(r#"{{"request":"repo-info","name":"{name}"}}"#);
        assert!(request(&line).is_ok(), "{name}");
    }
}

#[test]
fn answers_say_ok_or_error() {
    let text = |answer: &Answer<Reply>| serde_json::to_string(answer).unwrap();
    assert_eq!(text(&Answer::Ok(Reply::Done)), r#"{"ok":{"reply":"done"}}"#);
    assert_eq!(
        text(&Answer::Error(Rejection::failed("no"))),
        r#"{"error":{"kind":"failed","message":"no"}}"#
    );
    let created = Created {
        name: "a.git".into(),
        id: "i".into(),
        path: "/m/a.git".into(),
        copied: None,
    };
    assert_eq!(
        text(&Answer::Ok(Reply::Created(created))),
        r#"{"ok":{"reply":"created","value":{"name":"a.git","id":"i","path":"/m/a.git"}}}"#
    );
}
