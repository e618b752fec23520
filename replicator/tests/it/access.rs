//! Users of the doors, their tokens, and what is granted to whom: also after what grants are of is renamed, deleted,
//! or becomes something else.

use crate::support::{World, id, name, time};
use gitmoor_model::{
    AccessChange, Command, Grantee, Ground, GroupName, NameChange, NameStep, Outcome, Refusal,
    RepoId, Role, SecretDigest, Token, TokenId, UserName, presented, token_text,
};
use gitmoor_replicator::read;
use gitmoor_replicator::state::{AuditEvent, Trail};

fn user(text: &str) -> UserName {
    text.parse().expect("a name")
}

fn group(text: &str) -> GroupName {
    text.parse().expect("a name")
}

fn change(change: AccessChange) -> Command {
    Command::Access(Box::new(change))
}

fn grant(ground: Ground, to: &str, role: Option<Role>) -> Command {
    let to = to.parse().expect("a grantee");
    change(AccessChange::Grant { ground, to, role })
}

fn token(holder: Option<&str>, role: Role) -> Token {
    Token {
        digest: SecretDigest::of(b"secret"),
        holder: holder.map(user),
        repos: vec!["team/*.git".parse().expect("a pattern")],
        role,
        expires: None,
        label: String::new(),
        created: time(1),
    }
}

/// `team/app.git`, a user alice in the group devs, and bob.
fn world() -> World {
    let mut world = World::new();
    world.must(Command::CreateDirectory { path: name("team") });
    world.must(Command::CreateRepo {
        id: id(1),
        path: name("team/app.git"),
    });
    for who in ["alice", "bob"] {
        world.must(change(AccessChange::AddUser(user(who))));
    }
    world.must(change(AccessChange::Join {
        user: user("alice"),
        group: group("devs"),
    }));
    world
}

fn role(world: &World, who: Option<&str>, repo: RepoId) -> Option<Role> {
    let repo = read::repo(&world.database, repo).expect("reads");
    let who = who.map(user);
    read::role(&world.database, who.as_ref(), &repo.expect("is there")).expect("reads")
}

fn directory(path: &str) -> Ground {
    Ground::Directory(name(path))
}

#[test]
fn nobody_may_anything_by_default() {
    let world = world();
    assert_eq!(role(&world, None, id(1)), None);
    assert_eq!(role(&world, Some("alice"), id(1)), None);
}

#[test]
fn the_greatest_grant_counts() {
    let mut world = world();
    world.must(grant(directory("team"), "@devs", Some(Role::Write)));
    world.must(grant(directory(""), "everyone", Some(Role::Read)));
    assert_eq!(role(&world, None, id(1)), Some(Role::Read));
    assert_eq!(role(&world, Some("bob"), id(1)), Some(Role::Read));
    assert_eq!(role(&world, Some("alice"), id(1)), Some(Role::Write));
    let repo = Ground::Repository(id(1));
    world.must(grant(repo.clone(), "bob", Some(Role::Force)));
    assert_eq!(role(&world, Some("bob"), id(1)), Some(Role::Force));
    world.must(grant(repo, "bob", None));
    assert_eq!(role(&world, Some("bob"), id(1)), Some(Role::Read));
    world.must(change(AccessChange::Leave {
        user: user("alice"),
        group: group("devs"),
    }));
    assert_eq!(role(&world, Some("alice"), id(1)), Some(Role::Read));
}

#[test]
fn grants_go_along_with_what_they_are_of() {
    let mut world = world();
    world.must(grant(directory("team"), "alice", Some(Role::Write)));
    world.must(grant(Ground::Repository(id(1)), "bob", Some(Role::Read)));
    world.must(Command::Rename {
        from: name("team"),
        to: name("crew"),
    });
    assert_eq!(role(&world, Some("alice"), id(1)), Some(Role::Write));
    // Another directory of the old name has none of them.
    world.must(Command::CreateDirectory { path: name("team") });
    world.must(Command::Rename {
        from: name("crew/app.git"),
        to: name("team/app.git"),
    });
    assert_eq!(role(&world, Some("alice"), id(1)), None);
    assert_eq!(role(&world, Some("bob"), id(1)), Some(Role::Read));
    world.must(Command::RemoveDirectory { path: name("crew") });
    world.must(Command::CreateDirectory { path: name("crew") });
    let grants = read::grants(&world.database).expect("reads");
    assert_eq!(grants.len(), 1, "{grants:?}");
    world.must(Command::DeleteRepo { id: id(1) });
    world.must(Command::RestoreRepo {
        id: id(1),
        path: name("crew/app.git"),
    });
    assert_eq!(role(&world, Some("bob"), id(1)), Some(Role::Read));
}

#[test]
fn a_directory_that_becomes_a_repository_keeps_its_grants() {
    let mut world = world();
    let path = name("plain");
    world.must(Command::CreateDirectory { path: path.clone() });
    world.must(grant(directory("plain"), "alice", Some(Role::Read)));
    let step = NameStep::Become(id(2));
    world.must(Command::Name(Box::new(NameChange { path, step })));
    assert_eq!(role(&world, Some("alice"), id(2)), Some(Role::Read));
}

#[test]
fn whoever_gets_the_name_later_has_nothing_of_it() {
    let mut world = world();
    world.must(grant(directory(""), "alice", Some(Role::Force)));
    let (id, token) = (TokenId([1; 8]), token(Some("alice"), Role::Write));
    world.must(change(AccessChange::AddToken { id, token }));
    world.must(change(AccessChange::RemoveUser(user("alice"))));
    assert_eq!(read::token(&world.database, id).expect("reads"), None);
    world.must(change(AccessChange::AddUser(user("alice"))));
    assert_eq!(role(&world, Some("alice"), self::id(1)), None);
    let users = read::users(&world.database).expect("reads");
    assert!(users[&user("alice")].is_empty(), "{users:?}");
}

#[test]
fn what_is_not_there_gets_nothing() {
    let mut world = world();
    let carol = user("carol");
    let refused = [
        (
            grant(directory(""), "carol", Some(Role::Read)),
            Refusal::NoUser(carol.clone()),
        ),
        (
            grant(directory("none"), "alice", Some(Role::Read)),
            Refusal::NotFound(name("none")),
        ),
        (
            grant(directory("team/app.git"), "alice", Some(Role::Read)),
            Refusal::BadPath(name("team/app.git")),
        ),
        (
            change(AccessChange::AddUser(user("bob"))),
            Refusal::UserExists(user("bob")),
        ),
        (
            grant(directory("team"), "alice", None),
            Refusal::NoGrant {
                to: "alice".parse().expect("a grantee"),
                at: "team/".to_owned(),
            },
        ),
        (
            change(AccessChange::Leave {
                user: user("bob"),
                group: group("devs"),
            }),
            Refusal::NotInGroup {
                user: user("bob"),
                group: group("devs"),
            },
        ),
        (
            change(AccessChange::RevokeToken(TokenId([7; 8]))),
            Refusal::NoToken(TokenId([7; 8])),
        ),
        (
            change(AccessChange::AddToken {
                id: TokenId([1; 8]),
                token: token(Some("carol"), Role::Read),
            }),
            Refusal::NoUser(carol),
        ),
    ];
    for (command, why) in refused {
        assert_eq!(world.run(command), Outcome::Refused(why));
    }
}

#[test]
fn changes_are_on_record_without_secrets() {
    let mut world = world();
    let (id, token) = (TokenId([0xab; 8]), token(None, Role::Read));
    let version = world.must(change(AccessChange::AddToken { id, token }));
    let mut last = None;
    read::audit(&world.database, Trail::Namespace, version, &mut |_, it| {
        last = Some(it.event);
        true
    })
    .expect("reads");
    let event = AuditEvent::Access {
        what: "token abababababababab".to_owned(),
        old: None,
        new: Some("deploy read team/*.git".to_owned()),
    };
    assert_eq!(last, Some(event));
}

#[test]
fn a_token_is_known_by_what_was_printed_and_by_nothing_else() {
    let (id, secret) = (TokenId([0x0f; 8]), [7; 32]);
    let text = token_text(id, &secret);
    let (found, digest) = presented(&text).expect("a token");
    assert_eq!(found, id);
    let (_, other) = presented(&token_text(id, &[8; 32])).expect("a token");
    assert!(digest.is(&digest) && !digest.is(&other));
    for wrong in [
        "",
        "gmt_",
        &text[1..],
        &text[..text.len() - 1],
        &text.to_uppercase(),
    ] {
        assert_eq!(presented(wrong), None, "{wrong}");
    }
}

#[test]
fn names_are_plain() {
    for wrong in [
        "",
        "everyone",
        "-a",
        ".",
        "A",
        "a b",
        "a/b",
        "ä",
        &"a".repeat(65),
    ] {
        assert!(wrong.parse::<UserName>().is_err(), "{wrong}");
    }
    let everyone: Grantee = "everyone".parse().expect("a grantee");
    assert_eq!(everyone, Grantee::Everyone);
}
