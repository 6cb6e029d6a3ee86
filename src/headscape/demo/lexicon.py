"""Words of the made-up tweets; :mod:`headscape.demo.phrases` says how these blocks are read."""

TOPICS = """
person:
  the crew
  your gate agent
  the pilot
  the lady at the desk
  the guy at bag drop
  your chat agent
person+:
  friendly
  kind
  helpful
  great
  nice
person-:
  rude
  mean
  careless
  awful
  cold
seat:
  the seat
  my window seat
  the cabin
  the back row
  the lounge
seat+:
  clean
  comfy
  great
  nice
seat-:
  dirty
  broken
  cramped
  awful
food:
  the food
  the coffee
  breakfast on board
  the sandwich
  my vegan meal
food+:
  tasty
  fresh
  great
  good
food-:
  cold
  stale
  awful
  bad
net:
  the wifi
  your app
  the website
  the seat screen
  your chat
net+:
  fast
  working
  great
  good
net-:
  slow
  broken
  bad
  down
line:
  boarding
  check-in
  rebooking
  bag drop
  getting a refund
line+:
  fast
  smooth
  easy
  great
line-:
  slow
  a mess
  awful
  bad
flight:
  the flight to {city}
  my flight
  flight {flight}
  the red eye to {city}
  my connection
  the {day} flight
flight+:
  on time
  early
  smooth
  great
flight-:
  late
  delayed
  bumpy
  awful
bag:
  my bag
  the stroller
  my suitcase
  our luggage
  my guitar
bag+:
  safe
  early
  on time
  well treated
bag-:
  lost
  late
  broken
  delayed
deed+:
  help/helped me with the {thing}
  answer/answered my question
  keep/kept us posted
  find/found my {thing}
  wait/waited for us
  rebook/rebooked me in time
deed-:
  lose/lost my {thing}
  ignore/ignored my question
  hang/hung up on me
  leave/left without us
  break/broke my {thing}
  yell/yelled at my {friend}
"""

WORDS = """
very:
  6*
  so
  really
  super
  pretty
was not:
  2* was not
  2* wasn't
  was never
  was far from
  was hardly
  was by no means
not so:
  not true
  it was not
  nope
  not today
  wrong
  it did not happen
  far from it
so it was:
  true
  it was
  yep
  exactly right
  it is
  and so it went
is wrong:
  is wrong
  has no idea
  did not fly today
  is lying
this trip:
  this trip
  the trip to {city}
  {city} to {city}
  my {day} flight
  the way home
  flight {flight}
treat:
  early landing in {city}
  free upgrade
  empty middle seat
  on time departure
  free coffee at gate {gate}
a treat:
  a free upgrade to {city}
  a hot meal and a smile
  an empty row on the way to {city}
  {number} minutes early
  a free drink at gate {gate}
treating:
  getting us to {city} early
  the upgrade to {city}
  finding my {thing} so fast
  sitting in the new seats to {city}
  calling me back in {number} minutes
  the free drinks at gate {gate}
mishap:
  {hours} hour delay in {city}
  gate change
  lost {thing}
  cancelled flight
  {hours} hours on the tarmac
a mishap:
  a {hours} hour delay to {city}
  a cold meal and no water
  a broken seat all the way to {city}
  {hours} hours on hold
  a night on the floor at gate {gate}
suffering:
  getting us to {city} at midnight
  the night on the floor in {city}
  sending my {thing} to {city} without me
  sitting on the tarmac in {city}
  keeping me on hold for {hours} hours
  the third gate change in {city}
friend:
  sister
  boss
  brother
  dad
  neighbor
  mom
  coworker
time:
  time
  week
  month
  year
  summer
thing:
  bag
  suitcase
  stroller
  guitar
  skis
  coat
a thing:
  a guitar
  a stroller
  a small dog
  two bags
  a bike
  skis
  a cake
thing offered:
  wifi
  a vegan meal
  extra legroom
  an extra bag
  a kids meal
  a window seat
city:
  boston
  denver
  chicago
  seattle
  austin
  miami
  phoenix
  dallas
  portland
  atlanta
  newark
  tampa
  vegas
  oslo
  lisbon
day:
  monday
  tuesday
  wednesday
  thursday
  friday
  saturday
  sunday
handle:
  @skyline
  @bluegull
  @cloudlark
  @sunhopper
  @northfox
  @jetpine
opening:
  8* <>
  hey, <>
  ok so <>
  just landed in {city}. <>
  seat {seat} here, <>
  third trip this month, <>
  flew {city} to {city}. <>
  honest review: <>
  on my way to a wedding, <>
  update: <>
ending:
  9* <>
  <> #travel
  <> (flight {flight})
  <> #{city}
  <> writing this from gate {gate}
  <> seat {seat}
ending of opinion:
  9* <>
  <> just saying
  <> that's the tweet
  <> #travel
  <> (flight {flight})
  <> #{city}
  <> tell your boss
  <> writing this from gate {gate}
  <> had to be said
happy:
  😀
  ❤️
  🙌
  👍
  😍
unhappy:
  😡
  🙄
  👎
  😤
  🤦
plain face:
  ✈️
  🧳
  🙂
"""
