"""A day of GitPython. Usage: gitpython_day.py SCRATCH ROOT…"""

import io
import os
import tempfile

from day import Days
from git import Actor, Commit, Repo
from git.objects import Blob
from gitdb import IStream

WHO = Actor("Test", "test@example.com")


def write(repo, text):
    stream = repo.odb.store(IStream(Blob.type, len(text), io.BytesIO(text)))
    return stream.hexsha.decode()


def begin(app, _):
    repo = Repo.init(app, bare=True, mkdir=True, initial_branch="main")
    with repo.config_writer() as config:
        config.set_value("http", "receivepack", "true")
        config.set_value("gc", "auto", "0")


def goes_on(app, _, message):
    repo = Repo(app)
    assert repo.config_reader().get_value("http", "receivepack")
    parents = [repo.head.commit] if repo.head.is_valid() else []
    entries = repo.git.ls_tree("HEAD").splitlines() if parents else []
    entries.append(f"100644 blob {write(repo, message.encode())}\t{message}.txt")
    with tempfile.TemporaryFile() as file:
        file.write("".join(f"{entry}\n" for entry in entries).encode())
        file.seek(0)
        tree = repo.tree(repo.git.mktree(istream=file))
    new = Commit.create_from_tree(repo, tree, message, parents, author=WHO, committer=WHO)
    if parents:
        repo.heads.main.set_commit(new, logmsg=message)
    else:
        repo.create_head("main", new)


def branches(app, _):
    repo = Repo(app)
    repo.create_head("topic", "main~1")
    repo.create_head("team/next", "main").rename("team/now")
    repo.create_tag("v1", ref="main", message="version 1")
    repo.heads.topic.commit = repo.heads.main.commit
    repo.head.reference = repo.heads.topic
    repo.head.reference = repo.heads.main
    repo.description = "An application"


def clones_and_pushes(app, scratch):
    clone = Repo(app).clone(os.path.join(scratch, "gitpython-clone"))
    path = os.path.join(clone.working_dir, "more.txt")
    with open(path, "w") as file:
        file.write("more\n")
    clone.index.add([path])
    clone.index.commit("more", author=WHO, committer=WHO)
    for pushed in clone.remotes.origin.push("HEAD:refs/heads/pushed"):
        assert not pushed.flags & pushed.ERROR, pushed.summary


def fetches(app, scratch):
    repo = Repo(app)
    clone = os.path.join(scratch, "gitpython-clone")
    remote = repo.create_remote("clone", clone)
    remote.fetch()
    assert repo.refs["clone/main"].commit == repo.heads.pushed.commit
    repo.delete_remote(remote)


def looks(app, _):
    repo = Repo(app)
    assert [it.message for it in repo.iter_commits("main")] == ["third", "second", "first"]
    assert repo.description == "An application"
    assert {it.name for it in repo.heads} == {"main", "topic", "team/now", "pushed"}
    assert repo.tags.v1.tag.message == "version 1"
    assert [line for _, lines in repo.blame("main", "first.txt") for line in lines] == ["first"]
    with io.BytesIO() as archive:
        repo.archive(archive, "main")
        assert archive.tell() > 1024
    assert list(repo.heads.main.commit.diff("main~1"))


def packs(app, _):
    repo = Repo(app)
    repo.git.gc("--quiet", "--prune=now")
    repo.git.fsck("--strict")


def removes(app, _):
    repo = Repo(app)
    repo.delete_head("topic", "team/now", force=True)
    repo.delete_tag("v1")
    assert {it.name for it in Repo(app).heads} == {"main", "pushed"}


days = Days()
days.step(begin)
for message in ["first", "second", "third"]:
    days.step(goes_on, message)
for one in [branches, clones_and_pushes, fetches, looks, packs, looks, removes]:
    days.step(one)
