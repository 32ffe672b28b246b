"""Students: other, smaller networks with the original's signature, taught by its answers."""

from optimizer.train.students.lessons import Teacher
from optimizer.train.students.teach import Wish, teach

__all__ = ["Teacher", "Wish", "teach"]
