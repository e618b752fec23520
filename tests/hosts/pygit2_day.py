"""A day of libgit2, by pygit2. Usage: pygit2_day.py SCRATCH ROOT…"""

import os

import pygit2
from day import Days

WHO = pygit2.Signature("Test", "test@example.com", 1700000000, 0)


def commit(repo, branch, message, parents):
    blob = repo.create_blob(f"{message}\n".encode())
    tree = repo.TreeBuilder(repo[parents[0]].tree) if parents else repo.TreeBuilder()
    tree.insert(f"{message}.txt", blob, pygit2.enums.FileMode.BLOB)
    return repo.create_commit(branch, WHO, WHO, message, tree.write(), parents)


def begin(app, _):
    repo = pygit2.init_repository(app, bare=True, initial_head="main")
    commit(repo, "refs/heads/main", "first", [])


def goes_on(app, _, message):
    repo = pygit2.Repository(app)
    commit(repo, "refs/heads/main", message, [repo.head.target])


def branches(app, _):
    repo = pygit2.Repository(app)
    tip = repo[repo.head.target]
    repo.branches.create("topic", tip)
    repo.branches.create("team/next", tip)
    repo.branches["team/next"].rename("team/now")
    commit(repo, "refs/heads/topic", "on-topic", [tip.id])
    repo.create_tag("v1", tip.id, pygit2.enums.ObjectType.COMMIT, WHO, "version 1")
    repo.references.create("refs/pull/1/head", tip.id)


def merges(app, _):
    repo = pygit2.Repository(app)
    main, topic = repo.head.target, repo.branches["topic"].target
    assert repo.merge_base(main, topic) == repo.references["refs/pull/1/head"].target
    index = repo.merge_commits(main, topic)
    repo.create_commit("refs/heads/main", WHO, WHO, "merge", index.write_tree(repo), [main, topic])


def looks(app, _):
    repo = pygit2.Repository(app)
    messages = sorted(it.message for it in repo.walk(repo.head.target))
    assert messages == ["first", "merge", "on-topic", "second", "third"], messages
    assert set(repo.branches.local) == {"main", "topic", "team/now"}, set(repo.branches.local)
    assert "on-topic.txt" in repo.revparse_single("main").tree


def packs(app, _):
    repo = pygit2.Repository(app)
    repo.pack()
    repo.compress_references()


def clones_and_pushes(app, scratch):
    clone = pygit2.clone_repository(app, os.path.join(scratch, "pygit2-clone"))
    tip = clone.create_commit(
        "refs/heads/main", WHO, WHO, "from-a-clone", clone.head.peel().tree.id, [clone.head.target]
    )
    clone.remotes["origin"].push(["refs/heads/main:refs/heads/pushed"])
    assert pygit2.Repository(app).branches["pushed"].target == tip


def fetches(app, scratch):
    repo = pygit2.Repository(app)
    remote = repo.remotes.create_anonymous(os.path.join(scratch, "pygit2-clone"))
    remote.fetch(["+refs/heads/*:refs/remotes/clone/*"])
    pushed = repo.branches["pushed"].target
    assert repo.references["refs/remotes/clone/main"].target == pushed
    repo.references["refs/heads/main"].set_target(pushed)


def removes(app, _):
    repo = pygit2.Repository(app)
    for name in ["topic", "team/now", "pushed"]:
        repo.branches.delete(name)
    repo.references.delete("refs/pull/1/head")
    repo.set_head("refs/heads/other")
    assert repo.head_is_unborn
    repo.set_head("refs/heads/main")
    assert set(repo.branches.local) == {"main"}


days = Days()
days.step(begin)
days.step(goes_on, "second")
days.step(goes_on, "third")
for one in [branches, merges, looks, packs, looks, clones_and_pushes, fetches, removes]:
    days.step(one)
