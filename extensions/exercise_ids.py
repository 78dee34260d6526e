"""Every id once per page: sphinx-exercise gives the body of each exercise and each solution the same one."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

REPEATED = {"exercise-content", "solution-content"}


class UniqueIds(SphinxPostTransform):
    default_priority = 500

    def run(self, **kwargs: object) -> None:
        for section in self.document.findall(nodes.section):
            if REPEATED & set(section["ids"]):
                section["ids"] = []


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(UniqueIds)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
