"""The model as writers read it: shapes inferred, what is known folded, layouts chosen."""
