%% SPDX-License-Identifier: Apache-2.0
%% @doc A context's change from one helper to the next while it serves.
%%
%% The next helper is started beside the one that serves.  Once it is ready the
%% context publishes its port; from then on the former one is retired: it takes
%% no more requests, ends those that it has, and is stopped.  So no call fails
%% and none is interrupted.
%%
%% Everything here happens in the context's process, which asks about messages
%% that are not for its current port.
-module(py_context_swap).

-export([new/0, start/5, stale/1, await/2, is_going_on/1, retired/1, event/2, take/1, retire/2,
         drop/1, close/2]).

-export_type([swap/0, helper/0]).

-include("../port/py_wire.hrl").

%% How long the two halves of a helper's end may lie apart.
-define(COLLECT_MS, 1000).

-type helper() :: #{port := port() | none, ref := reference(), runtime := pid(),
                    os_pid := integer() | none, opts => py_context_opts:options(),
                    layers => [binary()], hello => binary(), startup => non_neg_integer(),
                    row => py_registry:row(), retire_ms => non_neg_integer(),
                    locked => boolean()}.
%% A helper that a context has, had, or will have.

-record(swap, {next = none :: none | helper(),
               waiting = [] :: [gen_statem:from()],
               retired = #{} :: #{reference() => map()}}).

-opaque swap() :: #swap{}.

-type outcome() ::
    unknown                                 % not ours
  | {keep, swap()}
  | {opened, port(), integer(), swap()}     % the next one's port, and its process
  | {ready, swap()}                         % `take/1' it
  | {failed, term(), none | port(), [gen_statem:from()], swap()}
  | {gone, port(), none | {crashed | protocol, term()}, swap()}.
%% What a message means; `gone': a retired one has ended, perhaps not in peace.

%% @doc Nothing is under way.
-spec new() -> swap().
new() ->
    #swap{}.

%% @doc Ask the runtime for the next helper; what was asked for before is
%% dropped.
-spec start(binary(), py_context_opts:options(), none | gen_statem:from(), timeout(), swap()) ->
    {ok, none | port(), swap()} | {error, term(), none | port(), swap()}.
start(Label, Options, From, Timeout, Swap) ->
    {Port, #swap{waiting = Waiting} = S} = drop(Swap),
    Version = py_startup:version(),
    Request = py_context_helper:request(Label, Options),
    case py_runtime:spawn_helper(maps:get(runtime, Options), Request) of
        {ok, Runtime, Ref} ->
            _ = erlang:send_after(Timeout, self(), {swap_timeout, Ref}),
            Next = #{port => none, ref => Ref, runtime => Runtime, os_pid => none, opts => Options,
                     startup => Version},
            {ok, Port, S#swap{next = Next, waiting = [From || From =/= none] ++ Waiting}};
        {error, Reason} ->
            {error, Reason, Port, S}
    end.

%% @doc Was the next one begun before something that contexts begin with was
%% changed?  Its options then.
-spec stale(swap()) -> {true, py_context_opts:options()} | false.
stale(#swap{next = #{startup := Version, opts := Options}}) ->
    case py_startup:version() of
        Version -> false;
        _ -> {true, Options}
    end;
stale(_) ->
    false.

%% @doc This caller waits for it too, where these are the options.
-spec await({gen_statem:from(), py_context_opts:options()}, swap()) -> {ok, swap()} | no.
await({From, Options}, #swap{next = #{opts := Options}, waiting = Waiting} = S) ->
    {ok, S#swap{waiting = [From | Waiting]}};
await(_, _) ->
    no.

%% @doc Is a next one on its way, or a former one still at work?
-spec is_going_on(swap()) -> boolean().
is_going_on(#swap{next = Next, retired = Retired}) ->
    Next =/= none orelse map_size(Retired) > 0.

%% @doc How many former ones are still at work.
-spec retired(swap()) -> non_neg_integer().
retired(#swap{retired = Retired}) ->
    map_size(Retired).

%% @doc What a message means.
-spec event(term(), swap()) -> outcome().
event({py_helper, Ref, Event}, #swap{next = #{ref := Ref} = Next} = S) ->
    next(Event, Next, S);
event({'DOWN', Ref, process, _, _}, #swap{next = #{ref := Ref}} = S) ->
    failed(unavailable, S);
event({swap_timeout, Ref}, #swap{next = #{ref := Ref} = Next} = S) ->
    case is_map_key(hello, Next) of
        true -> {keep, S};
        false -> failed(start_timeout, S)
    end;
event({Port, Message}, #swap{next = #{port := Port}} = S) when is_port(Port) ->
    next_port(Message, S);
event({'EXIT', Port, Reason}, #swap{next = #{port := Port}} = S) when is_port(Port) ->
    failed({lost, Reason}, S);
event({py_helper, Ref, Event}, #swap{retired = Retired} = S) when is_map_key(Ref, Retired) ->
    ending(Ref, exited, Event, S);
event({'DOWN', Ref, process, _, _}, #swap{retired = Retired} = S) when is_map_key(Ref, Retired) ->
    ending(Ref, exited, {exited, zygote_down}, S);
event({swap_timeout, Ref}, #swap{retired = Retired} = S) when is_map_key(Ref, Retired) ->
    overdue(Ref, S);
event({swap_timeout, _}, S) ->
    {keep, S};
event({py_retired, Ref}, #swap{retired = Retired} = S) when is_map_key(Ref, Retired) ->
    {keep, no_objects(Ref, S)};
event({py_retired, _}, S) ->
    {keep, S};
event({'EXIT', Port, Reason}, S) when is_port(Port) ->
    event({Port, {closed, Reason}}, S);
event({Port, Message}, #swap{retired = Retired} = S) when is_port(Port) ->
    case [Ref || {Ref, #{port := P}} <- maps:to_list(Retired), P =:= Port] of
        [Ref] -> retired_port(Message, Ref, S);
        [] -> unknown
    end;
event(_, _) ->
    unknown.

%%% The next one

next({spawned, Job, OsPid, Token, Zygote, Layers}, #{runtime := Runtime, opts := Opts} = Next, S) ->
    case py_context_helper:open(Token, Zygote, Job, Runtime, Opts) of
        {ok, Port} -> {opened, Port, OsPid, S#swap{next = Next#{port := Port, os_pid := OsPid,
                                                                layers => Layers}}};
        stale -> {keep, S};
        {error, Reason} -> failed(Reason, S)
    end;
next({failed, Reason}, _, S) ->
    failed(py_context_core:refusal(Reason), S);
next(_Ended, #{port := none}, S) ->
    failed(unavailable, S);
next(_Ended, _, S) ->
    %% Its port says more, or nothing comes of it within the time.
    {keep, S}.

next_port({hello, Etf}, #swap{next = Next} = S) ->
    {ready, S#swap{next = Next#{hello => Etf}}};
next_port({boot_error, Etf}, S) ->
    failed(py_context_core:boot_reason(Etf), S);
next_port({closed, Reason}, S) ->
    failed({lost, Reason}, S);
next_port({callback, Etf}, #swap{next = #{port := Port}} = S) ->
    serve(Port, Etf, S);
next_port(_, _) ->
    unknown.

failed(Reason, #swap{waiting = Waiting} = Swap) ->
    {Port, S} = drop(Swap),
    {failed, Reason, Port, Waiting, S#swap{waiting = []}}.

%% @doc The next one is not wanted any more; its port is for the caller to
%% close.
-spec drop(swap()) -> {none | port(), swap()}.
drop(#swap{next = none} = S) ->
    {none, S};
drop(#swap{next = #{ref := Ref, runtime := Runtime, port := Port}} = S) ->
    _ = erlang:demonitor(Ref, [flush]),
    ok = py_runtime:cancel(Runtime, Ref),
    _ = [py_port:kill(Port) || Port =/= none],
    {Port, S#swap{next = none}}.

%% @doc The next one, if it is ready, and who waited for it.
-spec take(swap()) -> {helper(), [gen_statem:from()], swap()} | none.
take(#swap{next = #{hello := _} = Next, waiting = Waiting} = S) ->
    {Next, Waiting, S#swap{next = none, waiting = []}};
take(_) ->
    none.

%%% Those retired

%% @doc This helper serves no more: let it end what it has.
-spec retire(helper(), swap()) -> swap().
retire(#{port := Port, ref := Ref, row := Row} = Helper, #swap{retired = Retired} = S) ->
    _ = py_port:drain_but_objects(Port),
    %% From here on no request is accepted that would make the first one.
    Kept = Helper#{death => py_context_core:new(), stopped => false},
    Next = S#swap{retired = Retired#{Ref => Kept}},
    case py_registry:has_objects(self(), element(3, Row)) of
        true -> ok = py_retired:watch(Ref, Row, maps:get(retire_ms, Helper)), Next;
        false -> no_objects(Ref, Next)
    end.

%% Nothing more is wanted of it.
no_objects(Ref, #swap{retired = Retired} = S) ->
    #{Ref := #{port := Port, row := Row}} = Retired,
    ok = py_registry:drop(self(), element(3, Row)),
    _ = py_port:drain(Port),
    S.

retired_port(drained, Ref, S) ->
    #{port := Port} = Helper = maps:get(Ref, S#swap.retired),
    _ = py_port:notice(Port, ?FRAME_STOP, <<>>),
    later(Ref, terrarium_config:get(stop_timeout)),
    {keep, put_retired(Ref, Helper#{stopped := true}, S)};
retired_port({closed, Reason}, Ref, S) ->
    ending(Ref, closed, Reason, S);
retired_port({callback, Etf}, Ref, S) ->
    serve(maps:get(port, maps:get(Ref, S#swap.retired)), Etf, S);
retired_port(_, _, _) ->
    unknown.

serve(Port, Etf, S) ->
    _ = spawn(py_callback, serve, [Port, self(), Etf]),
    {keep, S}.

ending(Ref, Half, What, #swap{retired = Retired} = S) ->
    #{Ref := #{death := Before} = Helper} = Retired,
    Death = case {Half, What} of
                {closed, Reason} -> py_context_core:closed(Reason, Before);
                {exited, {exited, Exited}} -> py_context_core:exited(Exited, Before);
                {exited, _} -> py_context_core:exited(zygote_down, Before)
            end,
    Next = Helper#{death := Death},
    case py_context_core:complete(Death) of
        true ->
            gone(Ref, Next, S);
        false ->
            half_dead(Ref, Next),
            {keep, put_retired(Ref, Next, S)}
    end.

%% One that was told to end does so by itself, or its time is up.  Of any other
%% what is left is killed.
half_dead(_, #{stopped := true}) ->
    ok;
half_dead(Ref, #{port := Port}) ->
    _ = py_port:kill(Port),
    later(Ref, ?COLLECT_MS).

%% It did not end in time, or the other half of its end was not heard of.
overdue(Ref, #swap{retired = Retired} = S) ->
    #{Ref := #{death := Death, port := Port} = Helper} = Retired,
    case {py_context_core:new(), Helper} of
        {Death, #{stopped := true}} ->
            _ = py_port:kill(Port),
            later(Ref, ?COLLECT_MS),
            {keep, put_retired(Ref, Helper#{death := py_context_core:closed(stopped, Death)}, S)};
        {Death, _} ->
            {keep, S};
        _ ->
            gone(Ref, Helper, S)
    end.

gone(Ref, #{port := Port, os_pid := OsPid, death := Death, stopped := Stopped} = Helper,
     #swap{retired = Retired} = S) ->
    More = #{pid => OsPid, stderr => py_backtrace:strip(py_port:stderr(Port)),
             over => py_grants:is_over(Port), locked => maps:get(locked, Helper), hello => true},
    Verdict = py_context_core:verdict(Death, More),
    ok = py_registry:drop(self(), element(3, maps:get(row, Helper))),
    _ = py_port:fail(Port, Verdict),
    ok = py_wait:abandon(Port),
    _ = erlang:demonitor(Ref, [flush]),
    ok = py_runtime:cancel(maps:get(runtime, Helper), Ref),
    How = case Stopped of
              true -> none;
              false -> Verdict
          end,
    {gone, Port, How, S#swap{retired = maps:remove(Ref, Retired)}}.

put_retired(Ref, Helper, #swap{retired = Retired} = S) ->
    S#swap{retired = Retired#{Ref := Helper}}.

later(Ref, Ms) ->
    _ = erlang:send_after(Ms, self(), {swap_timeout, Ref}),
    ok.

%% @doc The context ends, for this reason: so do all that stand beside.
-spec close(term(), swap()) -> ok.
close(Reason, Swap) ->
    {Port, #swap{retired = Retired}} = drop(Swap),
    Ports = [Port || Port =/= none] ++ [P || #{port := P} <- maps:values(Retired)],
    lists:foreach(fun(P) ->
                          _ = py_port:kill(P),
                          ok = py_wait:abandon(P),
                          _ = py_port:fail(P, {context_died, Reason}),
                          py_context_helper:close(P)
                  end, Ports).
