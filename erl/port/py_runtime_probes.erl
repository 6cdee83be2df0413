%% SPDX-License-Identifier: Apache-2.0
%% @doc Asking a zygote which layers of a sandbox it can put up.
%%
%% A part of `py_runtime', in whose process all but `probe/2' run.
-module(py_runtime_probes).

-export([probe/2, new/0, ask/5, up/2, answered/2, lost/1, refusal/1]).

-export_type([probes/0]).

-opaque probes() :: #{asked := #{pos_integer() => gen_server:from()},
                      later := [{map(), gen_server:from()}]}.
%% Who waits for which answer; who asked while the zygote was starting.

%% @doc Which layers would hold in this runtime under this policy (in the form of
%% zygotes)?  `{missing_layers, Names}': these are needed and can not be had.
-spec probe(atom(), map()) -> {ok, [binary()]} | {error, term()}.
probe(Name, Policy) ->
    case py_registry:runtime(Name) of
        none ->
            {error, {runtime_failed, Name, unknown}};
        Pid ->
            try
                gen_server:call(Pid, {probe, Policy}, terrarium_config:get(start_timeout))
            catch
                exit:_ -> {error, {runtime_failed, Name, unknown}}
            end
    end.

%% @doc Nobody waits.
-spec new() -> probes().
new() ->
    #{asked => #{}, later => []}.

%% @doc Ask for this caller, when the zygote is up; where it can not be asked, the
%% caller is told at once.
-spec ask(atom(), port() | none, map(), gen_server:from(), probes()) -> probes().
ask(starting, _, Policy, From, #{later := Later} = Probes) ->
    Probes#{later := [{Policy, From} | Later]};
ask(up, Port, Policy, From, #{asked := Asked} = Probes) ->
    Id = erlang:unique_integer([positive]),
    case py_port:send(Port, #{type => probe, id => Id, policy => Policy}) of
        ok ->
            Probes#{asked := Asked#{Id => From}};
        Other ->
            ok = gen_server:reply(From, {error, Other}),
            Probes
    end;
ask(_, _, _, From, Probes) ->
    ok = gen_server:reply(From, {error, unavailable}),
    Probes.

%% @doc The zygote is up.
-spec up(port(), probes()) -> probes().
up(Port, #{later := Later} = Probes) ->
    lists:foldr(fun({Policy, From}, Acc) -> ask(up, Port, Policy, From, Acc) end,
                Probes#{later := []}, Later).

%% @doc The zygote's answer.
-spec answered(map(), probes()) -> probes().
answered(#{<<"id">> := Id} = Message, #{asked := Asked} = Probes) ->
    case maps:take(Id, Asked) of
        {From, Rest} ->
            Answer = case Message of
                         #{<<"layers">> := Layers} -> {ok, Layers};
                         _ -> {error, refusal(Message)}
                     end,
            ok = gen_server:reply(From, Answer),
            Probes#{asked := Rest};
        error ->
            Probes
    end;
answered(_, Probes) ->
    Probes.

%% @doc The zygote is gone.
-spec lost(probes()) -> probes().
lost(#{asked := Asked, later := Later}) ->
    Waiting = maps:values(Asked) ++ [From || {_, From} <- Later],
    _ = [gen_server:reply(From, {error, unavailable}) || From <- Waiting],
    new().

%% @doc Why it does not give what was asked for: layers that the policy needs and
%% this host has not, or another reason.
-spec refusal(map()) -> {missing_layers, [binary()]} | {spawn_failed, binary()}.
refusal(#{<<"missing">> := Names}) when Names =/= [] ->
    {missing_layers, Names};
refusal(Message) ->
    {spawn_failed, maps:get(<<"reason">>, Message, <<>>)}.
