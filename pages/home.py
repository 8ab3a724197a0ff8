from ui import navigation

navigation.require()
