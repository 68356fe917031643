"""Which attributes the code reads that a function reaches, found in the source without running it.

Calls are followed by name: of a module's function to that function, of an object's method to the
methods of that name of all classes that were reached. So more is followed than is ever called, but
not everything that some module imports.
"""

import ast
import pathlib

# Reading an option to refuse it is no use of it.
_CHECKS = ("check", "_check", "__post_init__")


class Module:
    """A file: what it defines at its top, and the modules and names that it imports."""

    def __init__(self, name, tree, modules):
        self.name = name
        self.units = {}
        self.imported = {}
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                self.units[node.name] = node
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    for part in ast.walk(target):
                        if isinstance(part, ast.Name):
                            self.units[part.id] = node
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    target = (full, None) if full in modules else (node.module, alias.name)
                    self.imported[alias.asname or alias.name] = target
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.imported[alias.asname or alias.name] = (alias.name, None)


class CallGraph:
    """The product's source."""

    def __init__(self, root):
        """Reads all files below `root` but tests."""
        files = [*root.glob("*.py"), *root.glob("*/**/*.py")]
        skipped = ("tests", "benchmarks", "scripts", "demo", "runs")
        trees = {}
        for path in files:
            parts = path.relative_to(root).with_suffix("").parts
            if parts[0] not in skipped and not parts[0].startswith("."):
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                trees[name] = ast.parse(path.read_text(encoding="utf-8"))
        self.modules = {name: Module(name, tree, set(trees)) for name, tree in trees.items()}
        self.packages = {name.rpartition(".")[0] for name in trees}

    def attributes_read(self, module, function):
        """Returns the names of attributes that are read, but not called, from a function on."""
        return _Walk(self).run(module, function)


class _Walk:
    def __init__(self, graph):
        self.graph = graph
        self.seen = set()
        self.queue = []
        self.attributes = set()
        self.reads = set()
        self.classes = []
        self.opened = []

    def run(self, module, function):
        self._reach(module, function)
        while self.queue:
            module, node = self.queue.pop()
            self._visit(module, node)
        return self.reads

    def _reach(self, module, name):
        """Notes a top-level name of a module; follows imports."""
        found = self.graph.modules.get(module)
        if found is None:
            return
        if name in found.units:
            self._add(found, found.units[name])
        elif name in found.imported:
            target, inner = found.imported[name]
            if inner is not None:
                self._reach(target, inner)

    def _add(self, module, node):
        if (module.name, id(node)) in self.seen:
            return
        self.seen.add((module.name, id(node)))
        if isinstance(node, ast.ClassDef):
            self._add_class(module, node)
        else:
            self.queue.append((module, node))

    def _add_class(self, module, node):
        is_foreign = any(isinstance(base, ast.Attribute) for base in node.bases)
        self.classes.append((module, node))
        for part in node.body:
            if not isinstance(part, ast.FunctionDef):
                self.queue.append((module, part))
            elif part.name not in _CHECKS and (
                part.name.startswith("__") or is_foreign or part.name in self.attributes
            ):
                self._add(module, part)
        for base in node.bases:
            self.queue.append((module, base))

    def _visit(self, module, node):
        called = {part.func for part in ast.walk(node) if isinstance(part, ast.Call)}
        looked_into = {part.value for part in ast.walk(node) if isinstance(part, ast.Attribute)}
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                self._reach(module.name, part.id)
                target, inner = module.imported.get(part.id, (None, None))
                if part not in looked_into and inner is None and target in self.graph.modules:
                    # A module is handed on as a value: `head = aspp if ... else ...`.
                    self._open(self.graph.modules[target])
            elif isinstance(part, ast.Attribute):
                if part not in called and isinstance(part.ctx, ast.Load):
                    self.reads.add(part.attr)
                self._follow(module, part)
            elif isinstance(part, ast.Call):
                self._follow_packages(module, part)

    def _follow(self, module, attribute):
        """Follows `module.name`, or the methods of a name of all classes."""
        value = attribute.value
        if isinstance(value, ast.Name) and value.id in module.imported:
            target, inner = module.imported[value.id]
            if inner is None:
                self._reach(target, attribute.attr)
                return
        self._use_name(attribute.attr)

    def _use_name(self, name):
        if name in self.attributes:
            return
        self.attributes.add(name)
        for module in self.opened:
            self._reach(module.name, name)
        if name.startswith(_CHECKS):
            return
        for module, node in self.classes:
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name == name:
                    self._add(module, part)

    def _follow_packages(self, module, call):
        """Follows modules that are found by name: variants, devices, formats, engines."""
        name = getattr(call.func, "attr", getattr(call.func, "id", None))
        if not call.args or name not in ("collect", "import_module"):
            return
        found = self._named(module, call.args[0])
        for other in self.graph.modules.values():
            if other.name.rpartition(".")[0] == found:
                if name == "collect":
                    self._reach(other.name, "VARIANTS")
                else:
                    self._open(other)
            elif other.name == found and name == "import_module":
                self._open(other)

    def _named(self, module, node):
        """Returns the module or package that an argument names, None if that is not seen."""
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            return node.values[0].value.rstrip(".")
        if isinstance(node, ast.Name) and node.id in module.units:
            return getattr(getattr(module.units[node.id], "value", None), "value", None)
        names = []
        while isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            target, inner = module.imported.get(node.id, (node.id, None))
            return ".".join([target, *filter(None, [inner]), *names])
        return None

    def _open(self, module):
        """Notes a module whose functions may be called by name."""
        self.opened.append(module)
        for name in self.attributes & set(module.units):
            self._reach(module.name, name)


ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
