from ui.claims import show

show()
