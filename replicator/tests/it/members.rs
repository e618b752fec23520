//! The members of a cluster, and who may become one.

use crate::support::{World, id, name, replace, time};
use gitmoor_model::{
    Client, ClusterId, Command, Member, Newcomer, Outcome, Part, Refusal, Scope, SecretDigest,
    Timestamp, Version,
};
use gitmoor_replicator::state::read;
use gitmoor_replicator::storage::snapshot;
use std::collections::BTreeMap;

/// A cluster of node 1 at `a:1`.
fn founded() -> World {
    let mut world = World::new();
    world.must(Command::FoundCluster {
        id: ClusterId::random(),
        node: 1,
        address: "a:1".to_owned(),
    });
    world
}

fn members(world: &World) -> BTreeMap<u64, String> {
    let members = read::members(&world.database).expect("reads").into_iter();
    members
        .map(|(node, Member { address })| (node, address))
        .collect()
}

fn refused(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Refused(refusal) => refusal,
        done => panic!("not refused: {done:?}"),
    }
}

fn invite(world: &mut World, secret: &[u8], expires: Timestamp) {
    let secret = SecretDigest::of(secret);
    world.must(Command::Invite {
        secret,
        expires,
        part: Part::Node,
    });
}

fn admit(world: &mut World, secret: &[u8], address: &str) -> Outcome {
    world.run(Command::Admit {
        secret: SecretDigest::of(secret),
        newcomer: Newcomer::Node(Member {
            address: address.to_owned(),
        }),
    })
}

const FOREVER: Timestamp = Timestamp {
    secs: i64::MAX,
    nanos: 0,
};

#[test]
fn a_cluster_is_founded_once() {
    let mut world = founded();
    let there = read::cluster(&world.database).expect("reads").expect("one");
    let again = world.run(Command::FoundCluster {
        id: ClusterId::random(),
        node: 2,
        address: "b:1".to_owned(),
    });
    assert_eq!(refused(again), Refusal::Founded(there));
    assert_eq!(members(&world), BTreeMap::from([(1, "a:1".to_owned())]));
}

#[test]
fn a_node_alone_invites_nobody() {
    let mut world = World::new();
    let outcome = world.run(Command::Invite {
        secret: SecretDigest::of(b"s"),
        expires: FOREVER,
        part: Part::Node,
    });
    assert_eq!(refused(outcome), Refusal::NotFounded);
    assert_eq!(refused(admit(&mut world, b"s", "b:1")), Refusal::NotInvited);
}

#[test]
fn an_invitation_is_for_one() {
    let mut world = founded();
    invite(&mut world, b"s", FOREVER);
    assert_eq!(refused(admit(&mut world, b"t", "b:1")), Refusal::NotInvited);
    let Outcome::Done(Version(node)) = admit(&mut world, b"s", "b:1") else {
        panic!("invited");
    };
    assert_eq!(members(&world)[&node], "b:1");
    assert_eq!(refused(admit(&mut world, b"s", "c:1")), Refusal::NotInvited);
    assert_eq!(members(&world).len(), 2);
}

/// A client gets no copy of the state, nor the cluster's key, and must not come to it by its token.
#[test]
fn an_invitation_is_for_what_it_says() {
    let mut world = founded();
    let invite = |secret: &[u8], part| Command::Invite {
        secret: SecretDigest::of(secret),
        expires: FOREVER,
        part,
    };
    world.must(invite(b"s", Part::Client));
    world.must(invite(b"t", Part::Node));
    let client = |secret: &[u8]| Command::Admit {
        secret: SecretDigest::of(secret),
        newcomer: Newcomer::Client(Client {
            name: "laptop".to_owned(),
        }),
    };
    assert_eq!(refused(admit(&mut world, b"s", "b:1")), Refusal::NotInvited);
    assert_eq!(refused(world.run(client(b"t"))), Refusal::NotInvited);
    let Outcome::Done(Version(id)) = world.run(client(b"s")) else {
        panic!("invited");
    };
    let clients = read::clients(&world.database).expect("reads");
    assert_eq!(clients[&id].name, "laptop");
    assert_eq!(members(&world).len(), 1, "it is no node");
    world.must(Command::RemoveMember { node: id });
    assert!(read::clients(&world.database).expect("reads").is_empty());
    assert!(read::is_removed(&world.database, id).expect("reads"));
}

#[test]
fn an_invitation_ends() {
    let mut world = founded();
    let now = world.index;
    // Until the first of the two that use one.
    invite(&mut world, b"s", time(now + 3));
    invite(&mut world, b"t", time(now + 3));
    assert!(matches!(admit(&mut world, b"s", "b:1"), Outcome::Done(_)));
    assert_eq!(refused(admit(&mut world, b"t", "c:1")), Refusal::NotInvited);
}

/// Nor is an invitation used up by who cannot use it.
#[test]
fn an_address_is_one_node() {
    let mut world = founded();
    invite(&mut world, b"s", FOREVER);
    let taken = Refusal::AddressTaken {
        address: "a:1".to_owned(),
        holder: 1,
    };
    assert_eq!(refused(admit(&mut world, b"s", "a:1")), taken);
    let Outcome::Done(Version(node)) = admit(&mut world, b"s", "b:1") else {
        panic!("still invited");
    };
    let relocate = |node, address: &str| Command::Relocate {
        node,
        address: address.to_owned(),
    };
    assert_eq!(refused(world.run(relocate(node, "a:1"))), taken);
    world.must(relocate(node, "b:1"));
    world.must(relocate(1, "a:2"));
    world.must(relocate(node, "a:1"));
    let nobody = refused(world.run(relocate(99, "c:1")));
    assert_eq!(nobody, Refusal::NoMember(99));
    let expected = BTreeMap::from([(1, "a:2".to_owned()), (node, "a:1".to_owned())]);
    assert_eq!(members(&world), expected);
}

#[test]
fn a_dismissed_node_stays_away() {
    let mut world = founded();
    invite(&mut world, b"s", FOREVER);
    let Outcome::Done(Version(first)) = admit(&mut world, b"s", "b:1") else {
        panic!("invited");
    };
    world.must(Command::RemoveMember { node: first });
    world.must(Command::RemoveMember { node: first });
    assert_eq!(members(&world).len(), 1);
    // Its address is free, its id is not.
    invite(&mut world, b"t", FOREVER);
    let Outcome::Done(Version(second)) = admit(&mut world, b"t", "b:1") else {
        panic!("invited");
    };
    assert!(second > first);
}

#[test]
fn a_snapshot_has_them() {
    let mut world = founded();
    invite(&mut world, b"s", FOREVER);
    world.must(Command::CreateRepo {
        id: id(1),
        path: name("app.git"),
    });
    let bytes = snapshot::encode(&world.database).expect("reads");
    let mut other = World::new();
    replace(&other.database, &bytes);
    assert_eq!(members(&other), members(&world));
    other.session = gitmoor_model::SessionId::random();
    other.index = world.index;
    assert!(matches!(admit(&mut other, b"s", "b:1"), Outcome::Done(_)));
}

/// Rows of clients and invitations have grown: those of before, which end earlier, mean everything.
#[test]
fn what_a_client_may_is_what_it_was_invited_for() {
    let mut world = founded();
    let client = |secret: &[u8], name: &str| Command::Admit {
        secret: SecretDigest::of(secret),
        newcomer: Newcomer::Client(Client {
            name: name.to_owned(),
        }),
    };
    let secret = SecretDigest::of(b"all");
    let (expires, part) = (FOREVER, Part::Client);
    world.must(Command::Invite {
        secret,
        expires,
        part,
    });
    let scope = Scope {
        repos: vec!["team/*.git".parse().expect("a pattern")],
        read_only: true,
    };
    world.must(Command::InviteClient {
        secret: SecretDigest::of(b"some"),
        expires,
        scope: scope.clone(),
    });
    assert_eq!(
        refused(admit(&mut world, b"some", "b:1")),
        Refusal::NotInvited
    );
    let all = world.must(client(b"all", "one"));
    let some = world.must(client(b"some", "other"));
    let clients = read::clients(&world.database).expect("reads");
    assert_eq!(clients[&all.0].scope, Scope::default());
    assert_eq!(clients[&some.0].scope, scope);
    assert_eq!(clients[&some.0].name, "other");
    assert_eq!(
        refused(world.run(client(b"some", "again"))),
        Refusal::NotInvited
    );
}
