"""pygit2 at an HTTP door. Usage: pygit2_http.py URL USER TOKEN DIRECTORY: clones, fetches and pushes `refs/heads/pygit2`."""

import sys

import pygit2

url, user, token, path = sys.argv[1:]
WHO = pygit2.Signature("Test", "test@example.com", 1700000000, 0)


class Callbacks(pygit2.RemoteCallbacks):
    def push_update_reference(self, name, message):
        assert message is None, (name, message)


def callbacks(secret=token):
    return Callbacks(credentials=pygit2.UserPass(user, secret))


def refused():
    """A token that is none: libgit2 asks for another one until the callback gives up."""
    try:
        pygit2.clone_repository(url, path + "-refused", callbacks=callbacks("gmt_no"), bare=True)
    except pygit2.GitError as error:
        print("refused:", error)
        return
    raise AssertionError("a wrong token opens the door")


repo = pygit2.clone_repository(url, path, callbacks=callbacks(), bare=True)
tip = repo.revparse_single("HEAD").id
blob = repo.create_blob(b"pygit2\n")
builder = repo.TreeBuilder(repo[tip].tree)
builder.insert("pygit2.txt", blob, pygit2.enums.FileMode.BLOB)
new = repo.create_commit("refs/heads/pygit2", WHO, WHO, "pygit2", builder.write(), [tip])
repo.remotes["origin"].push(["refs/heads/pygit2:refs/heads/pygit2"], callbacks=callbacks())
repo.remotes["origin"].fetch(["+refs/heads/*:refs/remotes/origin/*"], callbacks=callbacks())
assert repo.references["refs/remotes/origin/pygit2"].target == new
refused()
