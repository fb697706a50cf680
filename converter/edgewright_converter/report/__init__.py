"""What a conversion tells people and programs: JSON, HTML, a table, the model card."""
