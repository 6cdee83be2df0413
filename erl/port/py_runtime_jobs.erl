%% SPDX-License-Identifier: Apache-2.0
%% @doc The helpers that a runtime was asked for, from the wish to the end.
%% Pure.
%%
%% A job is `queued', then `sent' to the zygote, then `spawned' (its descriptors
%% wait to be taken over), then `live'.  No more than a bounded number are
%% between sent and live, because the driver keeps only so many descriptors.
-module(py_runtime_jobs).

-export([new/0, add/5, next/1, postponed/2, spawned/3, exited/3, adopted/3, spent/3, port/2,
         take/2, of_monitor/2, of_context/3, lost/1, ids/1, count/1, asked/2, heard/2,
         patience_left/3]).

-export_type([jobs/0, job/0, event/0]).

-define(MAX_COMING, 64).

-type event() ::
    {spawned, Job :: pos_integer(), OsPid :: integer(), Token :: non_neg_integer(), port(),
     Layers :: [binary()]}
    %% take the helper from this port of its zygote, then call `py_runtime:adopted/3'
  | {failed, term()}
  | {exited, map()}
  | zygote_down.
%% What the asker of a helper is told about it.

-type stage() :: queued | sent | spawned | live.

-type job() :: #{ref := reference(), context := pid(), mon := reference(), request := map(),
                 stage := stage(), token := none | non_neg_integer(),
                 exited := none | map(), port := none | port(), ended := non_neg_integer()}.
%% Who asked, under which reference, for what; the port of the helper, and how many
%% of its requests had ended when its budget began.

-record(jobs, {all = #{} :: #{pos_integer() => job()},
               queue = queue:new() :: queue:queue(pos_integer()),
               mons = #{} :: #{reference() => pos_integer()},
               next = 1 :: pos_integer(),
               sent = 0 :: non_neg_integer(),
               asked = none :: none | integer(), % since when the zygote owes an answer
               coming = 0 :: non_neg_integer()}).

-opaque jobs() :: #jobs{}.
%% All jobs of a runtime.

%% @doc None.
-spec new() -> jobs().
new() ->
    #jobs{}.

%% @doc A new wish; `Mon' is the monitor on the context.
-spec add(reference(), pid(), reference(), map(), jobs()) -> jobs().
add(Ref, Context, Mon, Request, #jobs{all = All, queue = Q, mons = Mons, next = Id} = J) ->
    Job = #{ref => Ref, context => Context, mon => Mon, request => Request, stage => queued,
            token => none, exited => none, port => none, ended => 0},
    J#jobs{all = All#{Id => Job}, queue = queue:in(Id, Q), mons = Mons#{Mon => Id},
           next = Id + 1}.

%% @doc The next to send, counted as sent; `none' when nothing may be sent.
-spec next(jobs()) -> {pos_integer(), Request :: map(), jobs()} | none.
next(#jobs{coming = Coming}) when Coming >= ?MAX_COMING ->
    none;
next(#jobs{all = All, queue = Q} = J) ->
    case queue:out(Q) of
        {empty, _} ->
            none;
        {{value, Id}, Rest} ->
            case All of
                #{Id := #{request := Request} = Job} ->
                    {Id, Request, stage(Id, Job, sent, J#jobs{queue = Rest})};
                _ ->
                    next(J#jobs{queue = Rest})
            end
    end.

%% @doc It could not be sent yet.
-spec postponed(pos_integer(), jobs()) -> jobs().
postponed(Id, #jobs{all = All, queue = Q} = J) ->
    stage(Id, maps:get(Id, All), queued, J#jobs{queue = queue:in_r(Id, Q)}).

%% @doc Its descriptors are here, under this token; `unknown' where nobody wants
%% them any more.
-spec spawned(pos_integer(), non_neg_integer(), jobs()) -> {job(), jobs()} | unknown.
spawned(Id, Token, #jobs{all = All} = J) ->
    case All of
        #{Id := #{stage := sent} = Job} ->
            {Job, stage(Id, Job#{token := Token}, spawned, J)};
        _ ->
            unknown
    end.

%% @doc Its helper has ended.  While its descriptors are on their way to the
%% context, that is remembered: were they closed now, their numbers could be
%% another's when the context comes to use them.  `none': it has not ended.
-spec exited(pos_integer(), none | map(), jobs()) -> {later, jobs()} | now.
exited(_, none, J) ->
    {later, J};
exited(Id, Message, #jobs{all = All} = J) ->
    case All of
        #{Id := #{stage := spawned} = Job} ->
            {later, J#jobs{all = All#{Id := Job#{exited := Message}}}};
        _ ->
            now
    end.

%% @doc Its descriptors have been taken over: the token to drop, and what
%% `exited/3' remembered.
-spec adopted(pos_integer(), none | port(), jobs()) ->
    {Token :: non_neg_integer(), none | map(), jobs()} | unknown.
adopted(Id, Port, #jobs{all = All} = J) ->
    case All of
        #{Id := #{stage := spawned, token := Token, exited := Exited} = Job} ->
            Adopted = Job#{token := none, exited := none, port := Port},
            {Token, Exited, stage(Id, Adopted, live, J)};
        _ ->
            unknown
    end.

%% @doc Its processor time is used up.  It may have as much again if a request has
%% ended since it was given that; one that has ended none may not.
-spec spent(pos_integer(), Ended :: non_neg_integer(), jobs()) -> {Renew :: boolean(), jobs()}.
spent(Id, Ended, #jobs{all = All} = J) ->
    case All of
        #{Id := #{ended := Before} = Job} when Ended > Before ->
            {true, J#jobs{all = All#{Id := Job#{ended := Ended}}}};
        _ ->
            {false, J}
    end.

%% @doc The port of this helper, if it has one.
-spec port(pos_integer(), jobs()) -> port() | none.
port(Id, #jobs{all = All}) ->
    case All of
        #{Id := #{port := Port}} -> Port;
        _ -> none
    end.

%% @doc It is over.
-spec take(pos_integer(), jobs()) -> {job(), jobs()} | unknown.
take(Id, #jobs{all = All, mons = Mons} = J) ->
    case All of
        #{Id := #{mon := Mon} = Job} ->
            Moved = counted(Job, live, J),
            {Job, Moved#jobs{all = maps:remove(Id, All), mons = maps:remove(Mon, Mons)}};
        _ ->
            unknown
    end.

%% @doc The job behind this monitor.
-spec of_monitor(reference(), jobs()) -> {ok, pos_integer()} | unknown.
of_monitor(Mon, #jobs{mons = Mons}) ->
    case Mons of
        #{Mon := Id} -> {ok, Id};
        _ -> unknown
    end.

%% @doc The job that this context asked for under this reference.
-spec of_context(pid(), reference(), jobs()) -> {ok, pos_integer()} | unknown.
of_context(Context, Ref, #jobs{all = All}) ->
    case [Id || {Id, #{context := C, ref := R}} <- maps:to_list(All), C =:= Context, R =:= Ref] of
        [Id] -> {ok, Id};
        [] -> unknown
    end.

%% @doc The zygote is gone: which helpers went with it.  What had only been
%% asked for is queued again.
-spec lost(jobs()) -> {[pos_integer()], jobs()}.
lost(#jobs{all = All} = J) ->
    Sent = lists:sort([Id || {Id, #{stage := sent}} <- maps:to_list(All)]),
    Lost = [Id || {Id, #{stage := S}} <- maps:to_list(All), S =:= spawned orelse S =:= live],
    {Lost, lists:foldr(fun postponed/2, J#jobs{asked = none}, Sent)}.

%% @doc All of them.
-spec ids(jobs()) -> [pos_integer()].
ids(#jobs{all = All}) ->
    maps:keys(All).

%% @doc How many there are.
-spec count(jobs()) -> non_neg_integer().
count(#jobs{all = All}) ->
    maps:size(All).

%% @doc The zygote was asked for one, at this time in milliseconds.
-spec asked(integer(), jobs()) -> jobs().
asked(Now, #jobs{asked = none} = J) -> J#jobs{asked = Now};
asked(_, J) -> J.

%% @doc It has answered; perhaps not all.
-spec heard(integer(), jobs()) -> jobs().
heard(_, #jobs{sent = 0} = J) -> J#jobs{asked = none};
heard(Now, J) -> J#jobs{asked = Now}.

%% @doc How long it may still take, who may owe an answer for so long; `none': it owes none.
-spec patience_left(pos_integer(), integer(), jobs()) -> none | integer().
patience_left(_, _, #jobs{asked = none}) -> none;
patience_left(Ms, Now, #jobs{asked = Since}) -> Since + Ms - Now.

stage(Id, Job, After, #jobs{all = All} = J) ->
    counted(Job, After, J#jobs{all = All#{Id => Job#{stage := After}}}).

counted(#{stage := Before}, After, #jobs{sent = Sent, coming = Coming} = J) ->
    J#jobs{sent = Sent - sent_one(Before) + sent_one(After),
           coming = Coming - coming(Before) + coming(After)}.

sent_one(sent) -> 1;
sent_one(_) -> 0.

coming(spawned) -> 1;
coming(Stage) -> sent_one(Stage).
