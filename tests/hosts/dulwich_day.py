"""A day of dulwich. Usage: dulwich_day.py SCRATCH ROOT…"""

import os

from day import Days
from dulwich import porcelain
from dulwich.objects import Blob, Commit, Tree
from dulwich.repo import Repo

WHO = b"Test <test@example.com>"


def commit(repo, message, parents):
    blob = Blob.from_string(message + b"\n")
    tree = Tree()
    for entry in repo[repo[parents[0]].tree].items() if parents else ():
        tree.add(entry.path, entry.mode, entry.sha)
    tree.add(message + b".txt", 0o100644, blob.id)
    new = Commit()
    new.tree, new.parents, new.message = tree.id, parents, message
    new.author = new.committer = WHO
    new.author_time = new.commit_time = 1700000000
    new.author_timezone = new.commit_timezone = 0
    for one in [blob, tree, new]:
        repo.object_store.add_object(one)
    return new.id


def begin(app, _):
    repo = Repo.init_bare(app, mkdir=True)
    repo.refs.set_symbolic_ref(b"HEAD", b"refs/heads/main")
    assert repo.refs.add_if_new(b"refs/heads/main", commit(repo, b"first", []))


def goes_on(app, _, message):
    repo = Repo(app)
    tip = repo.refs[b"refs/heads/main"]
    assert repo.refs.set_if_equals(b"refs/heads/main", tip, commit(repo, message, [tip]))


def branches(app, _):
    porcelain.branch_create(app, "topic")
    porcelain.branch_create(app, "team/next")
    porcelain.tag_create(app, b"v1", author=WHO, message=b"version 1", annotated=True)
    porcelain.update_server_info(app)


def loses_a_race(app, _):
    repo = Repo(app)
    old = repo.refs[b"refs/heads/topic"]
    new = commit(repo, b"on-topic", [old])
    assert not repo.refs.set_if_equals(b"refs/heads/topic", b"1" * 40, new)
    assert repo.refs.set_if_equals(b"refs/heads/topic", old, new)


def clones_and_pushes(app, scratch):
    at = os.path.join(scratch, "dulwich-clone")
    clone = porcelain.clone(app, at)
    with open(os.path.join(at, "more.txt"), "w") as file:
        file.write("more\n")
    porcelain.add(clone, [os.path.join(at, "more.txt")])
    porcelain.commit(clone, message=b"more", author=WHO, committer=WHO)
    porcelain.push(clone, app, "HEAD:refs/heads/pushed")


def fetches(app, scratch):
    clone = os.path.join(scratch, "dulwich-clone")
    pushed = Repo(app).refs[b"refs/heads/pushed"]
    assert Repo(clone).head() == pushed
    assert porcelain.fetch(app, clone).refs[b"refs/heads/main"] == pushed


def packs(app, _):
    repo = Repo(app)
    before = sorted(repo.object_store)
    repo.object_store.pack_loose_objects()
    porcelain.pack_refs(app, all=True)
    porcelain.repack(app)
    porcelain.gc(app)
    assert sorted(Repo(app).object_store) == before


def looks(app, _):
    repo = Repo(app)
    messages = [entry.commit.message for entry in repo.get_walker(include=[repo.refs[b"refs/heads/pushed"]])]
    assert sorted(messages) == [b"first", b"more", b"second", b"third"], messages
    assert repo.refs.get_packed_refs() or repo.refs.as_dict()


def removes(app, _):
    porcelain.branch_delete(app, "topic")
    porcelain.branch_delete(app, "team/next")
    porcelain.tag_delete(app, b"v1")
    assert set(porcelain.branch_list(app)) == {b"main", b"pushed"}


days = Days()
days.step(begin)
days.step(goes_on, b"second")
days.step(goes_on, b"third")
for one in [branches, loses_a_race, clones_and_pushes, fetches, packs, looks, removes]:
    days.step(one)
