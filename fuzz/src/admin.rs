//! Lines on the admin socket.

use gitmoor::admin::Answer;
use gitmoor::command::{Reply, Request};

/// A line, from either side.
pub fn run(data: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<Request>(data) {
        let text = serde_json::to_string(&request).expect("what was read can be written");
        let again: Request = serde_json::from_str(&text).expect("and read again");
        assert_eq!(request, again);
        assert!(!text.contains('\n'), "a request is one line");
    }
    if let Ok(answer) = serde_json::from_slice::<Answer<Reply>>(data) {
        let text = serde_json::to_string(&answer).expect("what was read can be written");
        serde_json::from_str::<Answer<Reply>>(&text).expect("and read again");
        assert!(!text.contains('\n'), "an answer is one line");
    }
}
