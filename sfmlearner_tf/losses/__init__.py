"""View synthesis as supervision (paper sections 3.1 to 3.4): the terms of the objective, one idea a module."""
