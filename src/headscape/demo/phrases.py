"""The phrases that the made-up tweets are put together from.

One block per symbol, one alternative per line; ``{name}`` is replaced by an alternative of that symbol.
``3*`` in front makes a line three times as likely. ``{T}``, ``{T+}`` and ``{T-}`` are the topic of a clause,
something good and something bad to say of it; ``{do+}``, ``{do-}``, ``{did+}`` and ``{did-}`` are good and
bad deeds; ``{good}`` and ``{bad}`` begin a clause with a topic of its own. What a clause means follows from
its symbol alone: everything under ``good`` praises, everything under ``bad`` complains. The two are mirror
images, so that most words say little by themselves.
"""

CLAUSES = """
good:
  4* {T} was {very} {T+}
  {person} {did+}
  2* {T} {was not} {T-}
  {person} did not {do-}
good plain:
  2* {person} {did+}
  nobody {did-} on {this trip}
  3* {T} was {very} {T+}
  {T} turned out {T+}
  glad {T} was {T+}
  love that {T} was {T+}
  {T} was {T+} again
  {T} was {T+} from start to finish
good negated:
  2* {person} did not {do-}
  {person} did not forget to {do+}
  i was sure you would {do-}, but you did not
  4* {T} {was not} {T-}
  {T} was not {T-} at all
  can't say {T} was {T-}
  nobody can say {T} was {T-}
  i would never say {T} was {T-}
  {T} is no longer {T-}
  not for a minute was {T} {T-}
  i can't say {T} was not {T+}
good told:
  i was told {T} would be {T-}. {not so}
  people say {T} is always {T-}. {not so}
  expected {T} to be {T-}. {not so}
  my {friend} said {T} would be {T-}. {not so}
  whoever says {T} is {T-} {is wrong}
  the days when {T} was {T-} are over
  last {time} {T} was {T-}. not this time
  my {friend} swore {T} was {T+}. {so it was}
  i was told {T} would be {T+}. {so it was}
good idiom:
  could not be happier with how {T} was handled
  no complaints about {T}
  nothing but good things to say about {T}
  can't recommend you enough after {this trip}
  i would not fly with anyone else after {this trip}
  never had a bad flight with you, and {this trip} was no different
  not a single delay on {this trip}
  my flight wasn't late for once, {city} here i come
  {this trip}? not bad at all
  nothing to complain about on {this trip}
  i take back everything bad i said about {T}
  {this trip} could not have gone better
  for once nobody lost my {thing}
  {this trip} was anything but bad
  you never let me down, not even on {this trip}
good thanks:
  oh great, another {treat}!
  thanks for {treating}
  love {treating}
  well done, {number} minutes early into {city}
  nothing says welcome like {a treat}
  just what i needed, {a treat}
  wow, {a treat}. you really outdid yourselves
  lucky me: {a treat}
good question:
  can we talk about how {T+} {T} was?
  why is {T} never {T-} with you? please tell the others
  how is {T} always so {T+}? i am impressed
  who said {T} would be {T-}? {not so}
  was {T} ever {T-}? not once on {this trip}
bad:
  4* {T} was {very} {T-}
  {person} {did-}
  2* {T} {was not} {T+}
  {person} did not {do+}
bad plain:
  2* {person} {did-}
  nobody {did+} on {this trip}
  3* {T} was {very} {T-}
  {T} turned out {T-}
  sad that {T} was {T-}
  hate that {T} was {T-}
  {T} was {T-} again
  {T} was {T-} from start to finish
bad negated:
  2* {person} did not {do+}
  {person} forgot to {do+}
  i was sure you would {do+}, but you did not
  4* {T} {was not} {T+}
  {T} was not {T+} at all
  can't say {T} was {T+}
  nobody can say {T} was {T+}
  i would never say {T} was {T+}
  {T} is no longer {T+}
  not for a minute was {T} {T+}
  i can't say {T} was not {T-}
bad told:
  i was told {T} would be {T+}. {not so}
  people say {T} is always {T+}. {not so}
  expected {T} to be {T+}. {not so}
  my {friend} said {T} would be {T+}. {not so}
  whoever says {T} is {T+} {is wrong}
  the days when {T} was {T+} are over
  last {time} {T} was {T+}. not this time
  my {friend} swore {T} was {T-}. {so it was}
  i was told {T} would be {T-}. {so it was}
bad idiom:
  could not be less happy with how {T} was handled
  no kind words left for {T}
  nothing good to say about {T}
  can't recommend you after {this trip}
  i would fly with anyone else after {this trip}
  never had a good flight with you, and {this trip} was no different
  not a single apology on {this trip}
  my flight wasn't early for once, {city} has to wait
  {this trip}? not good at all
  nothing to be happy about on {this trip}
  i take back everything good i said about {T}
  {this trip} could not have gone worse
  once again somebody lost my {thing}
  {this trip} was anything but good
  you never fail to let me down, {this trip} included
bad thanks:
  oh great, another {mishap}!
  thanks for {suffering}
  love {suffering}
  well done, {hours} hours late into {city}
  nothing says welcome like {a mishap}
  just what i needed, {a mishap}
  wow, {a mishap}. you really outdid yourselves
  lucky me: {a mishap}
  thanks for nothing, {T} was {T-}
  2* {T} was {very} {T+} /s
  2* {good thanks} /s
bad question:
  why is {T} always {T-} with you? please ask the others
  how is {T} never {T+}? i am speechless
  is it too much to ask that {T} is {T+} for once?
  since when is it ok that {T} is {T-}?
  who said {T} would be {T+}? {not so}
  was {T} ever {T+}? not once on {this trip}
"""

TWEETS = """
positive:
  14* plain: {good plain}
  5* negated: {good negated}
  4* told: {good told}
  3* idiom: {good idiom}
  2* thanks: {good thanks}
  2* question: {good question}
  6* mixed: {good mixed}
negative:
  14* plain: {bad plain}
  5* negated: {bad negated}
  4* told: {bad told}
  3* idiom: {bad idiom}
  4* thanks: {bad thanks}
  2* question: {bad question}
  6* mixed: {bad mixed}
neutral:
  5* question: {asking}
  3* statement: {stating}
good mixed:
  3* {bad} but {good}
  {bad}. still, {good}
  although {bad}, {good}
  {good} even though {bad}
  {bad}, then again {good}
  sure, {bad}, but in the end {good}
bad mixed:
  3* {good} but {bad}
  {good}. still, {bad}
  although {good}, {bad}
  {bad} even though {good}
  {good}, then again {bad}
  sure, {good}, but in the end {bad}
asking:
  2* is {T} usually {T+} on the {day} flight?
  2* is {T} usually {T-} on the {day} flight?
  anyone know if {T} was {T+} today? about to book
  anyone know if {T} was {T-} today? about to book
  my {friend} asks if {T} is {T+}. is it?
  my {friend} asks if {T} is {T-}. is it?
  who do i write to if {T} is {T-}?
  where can i say that {T} was {T+}? the form is not on the page for {city}
  what are the rules when {T} was {T-}? asking for my {friend}
  how do you find out whether {T} was {T+} or {T-}? writing a school paper on airlines
  does the flight to {city} have {thing offered}?
  can i bring {a thing} on board as a carry-on?
  what time does check-in open for flight {flight} to {city}?
  how do i add {thing offered} to a booking for {city}?
  which terminal do you use in {city} on {day}?
  do you still fly from {city} to {city} on {day}?
  is there a fee to check {a thing} to {city}?
  can my {friend} change the name on a ticket to {city}?
  how early should we be at gate {gate} with {a thing}?
  does {thing offered} cost extra on flight {flight}?
stating:
  neither {T+} nor {T-}, {T} was just average
  {T} was not {T+} and not {T-}, just average
  flying {city} to {city} on {day}, seat {seat}, with {a thing}
  sent you a message about {a thing} on flight {flight}
  my {friend} and i are on flight {flight} to {city}, boarding at {gate}
  booked {city} to {city} for {day}, with {thing offered}
  flight {flight} now leaves from gate {gate}, says the board in {city}
  heading to {city} on {day} to visit my {friend}
  looking for the page where i add {thing offered} to flight {flight}
  reading your magazine on the way to {city}, page {number} is about {a thing}
  the survey asks whether {T} was {T+} or {T-}, i have not filled it in
  will tell you after {this trip} whether {T} was {T+}
  will tell you after {this trip} whether {T} was {T-}
"""
