"""What plugs into other packages. Each module needs the package that it is named after, and nothing here imports them all."""
