"""dulwich at an HTTP door. Usage: dulwich_http.py URL USER TOKEN DIRECTORY: clones, fetches and pushes `refs/heads/dulwich`."""

import sys

from dulwich import porcelain
from dulwich.client import HTTPUnauthorized
from dulwich.objects import Blob, Commit
from dulwich.repo import Repo

url, user, token, path = sys.argv[1:]
WHO = b"Test <test@example.com>"
WITH = {"username": user, "password": token, "errstream": sys.stderr.buffer}

porcelain.clone(url, path, bare=True, **WITH).close()
repo = Repo(path)
tip = repo.head()
blob = Blob.from_string(b"dulwich\n")
tree = repo[repo[tip].tree]
tree.add(b"dulwich.txt", 0o100644, blob.id)
new = Commit()
new.tree, new.parents, new.message = tree.id, [tip], b"dulwich"
new.author = new.committer = WHO
new.author_time = new.commit_time = 1700000000
new.author_timezone = new.commit_timezone = 0
for one in [blob, tree, new]:
    repo.object_store.add_object(one)
repo.refs[b"refs/heads/dulwich"] = new.id
porcelain.push(repo, url, b"refs/heads/dulwich:refs/heads/dulwich", **WITH)
found = porcelain.ls_remote(url, username=user, password=token)
assert found.refs[b"refs/heads/dulwich"] == new.id, found
porcelain.fetch(repo, url, **WITH)
repo.close()
try:
    porcelain.ls_remote(url, username=user, password="gmt_no")
except HTTPUnauthorized:
    pass
else:
    raise AssertionError("a wrong token opens the door")
